/** The Vault port of a host that borrows, against a vault that serves it over TLS: what the embedded vault must do, it must do too. */
import { createSecretKey, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { authorityFromRecord, mintAuthorityRecord } from '../../../src/ca/authority.ts';
import { HostOpener } from '../../../src/crypto/hpke.ts';
import { MasterKey } from '../../../src/crypto/master-key.ts';
import { Secret } from '../../../src/domain/secret.ts';
import { FleetMeter } from '../../../src/fleet/fleet-meter.ts';
import { type FleetServer, serveFleet } from '../../../src/fleet/fleet-server.ts';
import { fleetRoutes, openLending } from '../../../src/fleet/routes.ts';
import { ownIdentity } from '../../../src/fleet/server-identity.ts';
import { HOST_CAPABILITIES } from '../../../src/vault/host-capabilities.ts';
import type { VaultSessions } from '../../../src/vault/sessions.ts';
import type { Vault } from '../../../src/vault/vault.ts';
import { enrollHost } from '../../../src/vault-client/enrollment.ts';
import { HostCalls } from '../../../src/vault-client/host-calls.ts';
import { hostKeyFiles, openHostKeys } from '../../../src/vault-client/host-keys.ts';
import { LeaseCache } from '../../../src/vault-client/lease-cache.ts';
import { machineClock } from '../../../src/vault-client/lease-clock.ts';
import { RemoteVault } from '../../../src/vault-client/remote-vault.ts';
import { SignedClient } from '../../../src/vault-client/signed-client.ts';
import { temporaryDirectory } from '../../helpers/temporary.ts';
import { catalogue, MemoryJournal, openedVault } from './fixtures.ts';
import { describeVaultPeople } from './people-contract.ts';
import { describeVaultPort, type VaultPortFixture } from './vault-port-contract.ts';

const directory = temporaryDirectory();
const record = mintAuthorityRecord('alterd test vault');
const quiet = { warn: () => {}, info: () => {} };
const servers: FleetServer[] = [];
afterAll(() => Promise.all(servers.map((server) => server.close())).then(() => {}));

/** Sessions are the host's own: they are made and ended there. */
const withOwnSessions = (vault: Vault, remote: RemoteVault, settled: () => Promise<void>): Vault =>
  new Proxy(vault, {
    get: (target, name) => {
      const sessions: VaultSessions = {
        create: async (input) => {
          await settled();
          return remote.sessions.create(input);
        },
        revoke: (id) => remote.sessions.revoke(id),
        list: () => remote.sessions.list(),
      };
      const value: unknown = name === 'sessions' ? sessions : Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });

const open = async (): Promise<VaultPortFixture> => {
  const { vault, clock } = await openedVault(directory());
  const ca = authorityFromRecord(Buffer.from(record), join(directory(), 'ca.crt'));
  const now = (): number => clock.now;
  const deps = {
    ...{ vault, vaultId: 'vault-1', audit: new MemoryJournal(), leaseMs: 600_000, now },
    onFault: (error: unknown) => {
      throw error;
    },
  };
  const lending = openLending(deps);
  const server = await serveFleet({
    ...{ ...deps, routes: fleetRoutes(deps, lending), listen: { host: '127.0.0.1', port: 0 }, meter: new FleetMeter() },
    tls: ownIdentity(ca, [{ host: '127.0.0.1', family: 4 }]).tls(),
  });
  servers.push(server);
  const url = `https://127.0.0.1:${server.port}`;
  const { token } = await vault.hosts.invite('web-01');
  const [stateDir, sealer] = [directory(), new MasterKey('file', randomBytes(32))];
  const about = { capabilities: HOST_CAPABILITIES, version: '0.1.0' };
  const { host_id: hostId } = await enrollHost({
    ...{ url, ca: ca.certPem, token: new Secret(token.reveal()), stateDir, sealer },
    ...about,
  });
  const keys = openHostKeys(hostKeyFiles(stateDir).current, sealer);
  const client = new SignedClient({ url, ca: ca.certPem, identity: { hostId, signing: keys.signing }, now });
  const remote = new RemoteVault({
    ...{
      url,
      catalogue,
      audit: new MemoryJournal(),
      policiesDir: join(stateDir, 'policies'),
      clock: machineClock(),
      log: quiet,
      now,
    },
    calls: new HostCalls({ client, opener: new HostOpener(keys.sealing), vaultId: 'vault-1', hostId }),
    cache: LeaseCache.open({ dir: stateDir, key: createSecretKey(randomBytes(32)) }),
    onClosed: () => client.close(),
  });
  await remote.start();
  const settled = async (): Promise<void> => {
    const host = vault.hosts.find('web-01');
    const missing = vault.agents.list().filter(({ id }) => !host.agentIds.includes(id));
    if (missing.length > 0 || !host.systemGrants)
      await vault.hosts.assign('web-01', { agents: missing.map(({ id }) => id), systemGrants: true });
    await remote.refresh();
  };
  return {
    ...{ port: remote, operator: withOwnSessions(vault, remote, settled), clock, settled },
    close: async () => {
      await remote.close();
      lending.streams.close();
      await server.close();
      await vault.close();
    },
  };
};

describeVaultPort('The vault of a host that borrows', open);
describeVaultPeople('The vault of a host that borrows', open, { users: false });
