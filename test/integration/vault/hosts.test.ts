/** Hosts as the vault keeps them: tokens that end, and an identity that outlives its data key. */
import { expect, test } from 'vitest';
import { openVault } from '../../../src/vault/vault.ts';
import { catalogue, openedVault, refusal } from '../../contract/vault/fixtures.ts';
import { temporaryDirectory } from '../../helpers/temporary.ts';

const directory = temporaryDirectory();
const KEYS = { signingKey: 'key-1', sealingKey: 'point-1', capabilities: ['b', 'a', 'a'], version: '1' };

test('a token that nobody used in time is expired, to the millisecond', async () => {
  const { vault, clock } = await openedVault(directory());
  const { host, token } = await vault.hosts.invite('late', 60_000);
  clock.now = host.inviteExpiresAt ?? 0;
  const error = await refusal(vault.hosts.enroll({ token: token.reveal(), ...KEYS }));
  expect([error.code, error.text]).toEqual(['enrolment_refused', 'The enrolment token has expired.']);
  clock.now -= 1;
  expect(await vault.hosts.enroll({ token: token.reveal(), ...KEYS })).toMatchObject({
    status: 'active',
    capabilities: ['a', 'b'],
  });
  await vault.close();
});

test.each([999, 30 * 24 * 3_600_000 + 1, Number.NaN])('an invitation for %d ms is refused', async (ttlMs) => {
  const { vault } = await openedVault(directory());
  expect((await refusal(vault.hosts.invite('a', ttlMs))).code).toBe('invalid_input');
  await vault.close();
});

test('a token that is out ends with new keys of the host, and not with a new version of its daemon', async () => {
  const { vault, journal } = await openedVault(directory());
  const first = await vault.hosts.invite('web');
  const { id } = await vault.hosts.enroll({ token: first.token.reveal(), ...KEYS });
  const again = await vault.hosts.reinvite('web');
  await vault.hosts.replaceKeys(id, { ...KEYS, version: '2' });
  expect(vault.hosts.find('web')).toMatchObject({ version: '2', inviteExpiresAt: expect.any(Number) });
  const { epoch } = vault;
  await vault.hosts.replaceKeys(id, { ...KEYS, version: '2' });
  expect(vault.epoch).toBe(epoch);
  await vault.hosts.replaceKeys(id, { ...KEYS, version: '2', signingKey: 'key-2' });
  expect((await refusal(vault.hosts.enroll({ token: again.token.reveal(), ...KEYS }))).code).toBe('enrolment_refused');
  expect(JSON.stringify(journal)).not.toContain(again.token.reveal());
  await vault.close();
});

test('the identity of a vault is made once, and is sealed again with a new data key', async () => {
  const { vault, dbFile, masterKey, journal } = await openedVault(directory());
  let minted = 0;
  const mint = (): Buffer => Buffer.from(`SEKRET-marker-authority-${++minted}`);
  const { vaultId } = await vault.fleetIdentity(mint);
  await vault.rotateDataKey();
  await vault.rotateDataKey();
  await vault.close();
  const reopened = await openVault({ dbFile, masterKey: masterKey(), catalogue, audit: journal });
  const again = await reopened.fleetIdentity(mint);
  expect([again.vaultId, again.authority.toString(), minted]).toEqual([vaultId, 'SEKRET-marker-authority-1', 1]);
  await reopened.close();
});
