/** Replicas of a vault over one database: what one of them has seen, the other refuses. */
import { generateKeyPairSync } from 'node:crypto';
import { expect, test } from 'vitest';
import { mintNonce, rawPublicKey, signedHeaders } from '../../../src/crypto/request-signing.ts';
import { HostAuthenticator } from '../../../src/fleet/host-authenticator.ts';
import { NonceBook } from '../../../src/fleet/nonce-book.ts';
import { openedVault } from '../../contract/vault/fixtures.ts';
import { temporaryDirectory } from '../../helpers/temporary.ts';

const directory = temporaryDirectory();

test('a request that one replica answered is a replay at the other, at once and in the same moment', async () => {
  const { vault, clock } = await openedVault(directory());
  const { token } = await vault.hosts.invite('web-01');
  const { privateKey } = generateKeyPairSync('ed25519');
  const keys = { signingKey: rawPublicKey(privateKey), sealingKey: 'p', capabilities: [], version: '1' };
  const { id } = await vault.hosts.enroll({ token: token.reveal(), ...keys });
  const now = (): number => clock.now;
  const books = [new NonceBook(vault, now), new NonceBook(vault, now)];
  const [one, other] = books.map((nonces) => new HostAuthenticator({ hosts: vault.hosts, nonces, now })) as [
    HostAuthenticator,
    HostAuthenticator,
  ];
  const call = () => {
    const parts = { method: 'GET', target: '/v1/host/bundle', timestamp: clock.now, nonce: mintNonce(), body: Buffer.alloc(0) };
    const headers = signedHeaders(id, privateKey, parts);
    return { method: 'GET', target: '/v1/host/bundle', body: Buffer.alloc(0), header: (name: string) => headers[name] };
  };
  const replayed = { code: 'host_unauthenticated', details: { host_error: 'replayed' } };

  const first = call();
  expect(await one.authenticate(first)).toMatchObject({ id });
  await expect(other.authenticate(first)).rejects.toMatchObject(replayed);
  const racing = call();
  const outcomes = await Promise.allSettled([one.authenticate(racing), other.authenticate(racing)]);
  expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);

  // A nonce is forgotten only when no replica takes its timestamp any more, whatever their clocks say.
  clock.now += 59_000;
  await books[0]?.forget();
  await expect(other.authenticate(first)).rejects.toMatchObject(replayed);
  clock.now += 120_001;
  await books[0]?.forget();
  await expect(other.authenticate(first)).rejects.toMatchObject({ code: 'clock_skewed' });
  for (const book of books) book.close();
  await vault.close();
});
