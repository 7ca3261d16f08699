import { describe, expect, it, onTestFinished } from 'vitest';
import { MasterKey } from '../../../src/crypto/master-key.ts';
import { mintKey } from '../../../src/crypto/seal.ts';
import { changeSnapshot, EMPTY_SNAPSHOT } from '../../../src/store/snapshot.ts';
import { openSqliteStore } from '../../../src/store/sqlite/sqlite-store.ts';
import { grantOf } from '../../../src/vault/authority.ts';
import { DataKeys, mintDataKey } from '../../../src/vault/data-keys.ts';
import { LastUses } from '../../../src/vault/last-uses.ts';
import { MaterialMaker } from '../../../src/vault/material-maker.ts';
import { Materials } from '../../../src/vault/materials.ts';
import { VaultState } from '../../../src/vault/state.ts';
import { credentialRow, grantRow } from '../../contract/store/store-rows.ts';
import { MemoryJournal, TOKEN } from '../../contract/vault/fixtures.ts';
import { temporaryDirectory } from '../../helpers/temporary.ts';

const directory = temporaryDirectory();
const IDLE_MS = 5 * 60_000;

async function cache() {
  const masterKey = new MasterKey('file', Buffer.alloc(32, 7));
  const clock = { now: 0 };
  const dataKey = mintDataKey(masterKey, 0);
  const dataKeys = new DataKeys(masterKey, [dataKey]);
  const store = await openSqliteStore({ dbFile: `${directory()}/vault.db` });
  onTestFinished(() => store.close());
  const grant = grantRow('g1', null, 'c1');
  const changes = [
    { put: 'data_key', row: dataKey },
    { put: 'credential', row: credentialRow('c1') },
    { put: 'sealed', row: dataKeys.seal('c1', 1, TOKEN) },
    { put: 'grant', row: grant },
  ] as const;
  await store.apply(changes, 0);
  const state = new VaultState({
    store,
    snapshot: changeSnapshot(EMPTY_SNAPSHOT, changes),
    macKey: mintKey(),
    audit: new MemoryJournal(),
    now: () => clock.now,
  });
  const maker = new MaterialMaker(dataKeys, null, () => clock.now);
  const materials = new Materials({ state, maker, uses: new LastUses(async () => {}) });
  return { clock, materials, grant: grantOf(grant, 'secret-c1') };
}

describe('opened material', () => {
  it('is forgotten after five idle minutes, and opened again when it is wanted', async () => {
    const { clock, materials, grant } = await cache();
    const first = await materials.obtain(grant);
    clock.now = IDLE_MS - 1;
    materials.sweep();
    expect(materials.obtain(grant)).toBe(first);
    clock.now += IDLE_MS - 1;
    materials.sweep();
    expect(materials.size).toBe(1);
    clock.now += 1;
    materials.sweep();
    expect(materials.size).toBe(0);
    expect(await materials.obtain(grant)).not.toBe(first);
    materials.clear();
  });

  it('is opened once for many that ask at the same time', async () => {
    const { materials, grant } = await cache();
    const all = await Promise.all(Array.from({ length: 50 }, () => materials.obtain(grant)));
    expect(new Set(all).size).toBe(1);
    materials.clear();
  });
});
