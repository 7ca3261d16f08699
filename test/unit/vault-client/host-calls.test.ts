/** What a host does not take from what answers at the vault's address. */
import { expect, test } from 'vitest';
import { HostOpener, mintSealingKeys } from '../../../src/crypto/hpke.ts';
import { HostCalls } from '../../../src/vault-client/host-calls.ts';

const NO_ROWS = { agent: [], key: [], grant: [], credential: [], user: [], delegation: [], permit: [], policies: [] };

async function bundleOf(vaultId: string): Promise<unknown> {
  const body = {
    vault_id: vaultId,
    host_id: 'h1',
    host_name: 'web-01',
    epoch: 1,
    issued_at: 1,
    lease_ms: 1_000,
    digest: 'd',
    rows: NO_ROWS,
  };
  const client = {
    call: async () => ({ status: 200, headers: {}, vaultTime: null, body }) as never,
    stream: async () => Promise.reject(new Error('no stream here')),
  };
  const opener = new HostOpener(await mintSealingKeys());
  return new HostCalls({ client, opener, vaultId: 'mine', hostId: 'h1' }).bundle(null);
}

test('the view of the vault that it enrolled at is taken', async () => {
  expect(await bundleOf('mine')).toMatchObject({ vaultId: 'mine', epoch: 1, digest: 'd' });
});

test('the view of another vault is not, whoever vouches for it', async () => {
  await expect(bundleOf('theirs')).rejects.toMatchObject({
    code: 'vault_unavailable',
    details: { reason: 'another vault answers at its address' },
  });
});
