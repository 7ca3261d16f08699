/** A replica that has lost sight of its database: what it remembers may have ended, so it lends and prolongs nothing, whoever asks. */
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { authorityFromRecord, mintAuthorityRecord } from '../../../src/ca/authority.ts';
import { MasterKey } from '../../../src/crypto/master-key.ts';
import { Secret } from '../../../src/domain/secret.ts';
import { FleetMeter } from '../../../src/fleet/fleet-meter.ts';
import { serveFleet } from '../../../src/fleet/fleet-server.ts';
import { fleetRoutes, openLending } from '../../../src/fleet/routes.ts';
import { ownIdentity } from '../../../src/fleet/server-identity.ts';
import { HOST_CAPABILITIES } from '../../../src/vault/host-capabilities.ts';
import type { Vault } from '../../../src/vault/vault.ts';
import { enrollHost } from '../../../src/vault-client/enrollment.ts';
import { hostKeyFiles, openHostKeys } from '../../../src/vault-client/host-keys.ts';
import { SignedClient } from '../../../src/vault-client/signed-client.ts';
import { MemoryJournal, openedVault } from '../../contract/vault/fixtures.ts';
import { temporaryDirectory } from '../../helpers/temporary.ts';

const directory = temporaryDirectory();

test('neither the view nor its lease is given by a replica that has not heard of its database', async () => {
  const { vault: whole, clock } = await openedVault(directory());
  let isFresh = true;
  const vault: Vault = new Proxy(whole, {
    get: (target, name) => {
      const value: unknown = name === 'isFresh' ? isFresh : Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  const ca = authorityFromRecord(mintAuthorityRecord('alterd test vault'), join(directory(), 'ca.crt'));
  const deps = {
    ...{ vault, vaultId: 'vault-1', audit: new MemoryJournal(), leaseMs: 600_000, now: () => clock.now },
    onFault: (error: unknown) => {
      throw error;
    },
  };
  const lending = openLending(deps);
  const server = await serveFleet({
    ...{ ...deps, routes: fleetRoutes(deps, lending), listen: { host: '127.0.0.1', port: 0 }, meter: new FleetMeter() },
    tls: ownIdentity(ca, [{ host: '127.0.0.1', family: 4 }]).tls(),
  });
  const url = `https://127.0.0.1:${server.port}`;
  const { token } = await whole.hosts.invite('web-01');
  const [stateDir, sealer] = [directory(), new MasterKey('file', Buffer.alloc(32, 7))];
  const { host_id: hostId } = await enrollHost({
    ...{
      url,
      ca: ca.certPem,
      token: new Secret(token.reveal()),
      stateDir,
      sealer,
      capabilities: HOST_CAPABILITIES,
      version: '1',
    },
  });
  const { signing } = openHostKeys(hostKeyFiles(stateDir).current, sealer);
  const client = new SignedClient({ url, ca: ca.certPem, identity: { hostId, signing }, now: () => clock.now });
  onTestFinished(async () => {
    client.close();
    lending.streams.close();
    await server.close();
    await whole.close();
  });
  const { status, headers } = await client.call('GET', '/v1/host/bundle');
  expect(status).toBe(200);
  isFresh = false;
  const known = { headers: { 'if-none-match': String(headers.etag) } };
  const unavailable = expect.objectContaining({ code: 'vault_unavailable' });
  await expect(client.call('GET', '/v1/host/bundle')).rejects.toEqual(unavailable);
  await expect(client.call('GET', '/v1/host/bundle', undefined, known)).rejects.toEqual(unavailable);
  await expect(client.call('POST', '/v1/host/audit', { chain: 'c', lines: [], gap: false })).rejects.toEqual(unavailable);
  isFresh = true;
  expect((await client.call('GET', '/v1/host/bundle', undefined, known)).status).toBe(304);
});
