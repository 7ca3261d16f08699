/** Looking for the vault's authority: the connection that is not verified yet carries nothing, and what is shown on it must have the fingerprint. */
import { X509Certificate } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import { createServer, type TLSSocket } from 'node:tls';
import { afterEach, expect, test } from 'vitest';
import { authorityFromRecord, type LocalCa, mintAuthorityRecord } from '../../../src/ca/authority.ts';
import { ownIdentity } from '../../../src/fleet/server-identity.ts';
import { fetchAuthority } from '../../../src/vault-client/pinning.ts';
import { SignedClient } from '../../../src/vault-client/signed-client.ts';

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

const authority = (name: string): LocalCa => authorityFromRecord(mintAuthorityRecord(name), '');
const fingerprintOf = ({ certPem }: LocalCa): string => new X509Certificate(certPem).fingerprint256;

/** Serves a leaf of one authority, and shows the certificate of another behind it when asked to. */
async function serve(ca: LocalCa, shown: LocalCa = ca) {
  const { cert, key } = ownIdentity(ca, [{ host: '127.0.0.1', family: 4 }]).tls();
  const leaf = `${cert}`.slice(0, `${cert}`.indexOf('-----END CERTIFICATE-----') + 26);
  let bytes = 0;
  const server = createServer({ cert: shown === ca ? cert : `${leaf}${shown.certPem}`, key, minVersion: 'TLSv1.3' });
  server.on('secureConnection', (socket: TLSSocket) => {
    socket.on('error', () => {});
    socket.on('data', (part: Buffer) => {
      bytes += part.length;
    });
  });
  server.on('tlsClientError', () => {});
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closing.push(() => server.close());
  return { url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`, bytes: () => bytes };
}

test('the authority with the fingerprint is found, and nothing was sent to find it', async () => {
  const ca = authority('vault');
  const { url, bytes } = await serve(ca);
  expect(new X509Certificate(await fetchAuthority(url, fingerprintOf(ca))).fingerprint256).toBe(fingerprintOf(ca));
  expect(bytes()).toBe(0);
});

test('who shows the right authority beside a leaf of another one gets nothing, neither then nor from the client that trusts it', async () => {
  const [genuine, own] = [authority('vault'), authority('impostor')];
  const { url, bytes } = await serve(own, genuine);
  const untrusted = expect.objectContaining({ code: 'vault_untrusted' });
  await expect(fetchAuthority(url, fingerprintOf(genuine))).rejects.toEqual(untrusted);
  const client = new SignedClient({ url, ca: genuine.certPem, identity: null });
  await expect(client.call('POST', '/v1/enroll', { token: 'SEKRET-marker-token' })).rejects.toEqual(untrusted);
  client.close();
  expect(bytes()).toBe(0);
});
