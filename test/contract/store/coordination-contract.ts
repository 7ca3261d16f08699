/** What every Store must do for replicas: the log of changes, one-time texts, leases. The factory is that of the store contract. */
import { describe, expect, it } from 'vitest';
import { KEPT_EPOCHS } from '../../../src/store/change-log.ts';
import { LostLease, StaleEpoch } from '../../../src/store/conflicts.ts';
import type { StoreChange } from '../../../src/store/rows.ts';
import { changeSnapshot } from '../../../src/store/snapshot.ts';
import type { StoreFactory } from './store-contract.ts';
import { agentRow, credentialRow, dataKeyRow, keyRow, sealedRow } from './store-rows.ts';

const agent = (id: string): StoreChange => ({ put: 'agent', row: agentRow(id) });
const T = 1_000_000;

export function describeCoordination(name: string, factory: StoreFactory): void {
  describe(`${name} as what replicas share`, () => {
    it('answers what was applied after an epoch, and leads another snapshot to the same state', async () => {
      const { store, reopen } = await factory.create();
      const before = await store.load();
      const sets: StoreChange[][] = [
        [agent('a1'), { put: 'key', row: keyRow('k1', 'a1') }],
        [{ put: 'credential', row: credentialRow('c1', { publicFields: { site: 'ü\u2028"' } }) }, agent('a2')],
        [{ remove: 'agent', id: 'a1' }],
      ];
      for (const [i, changes] of sets.entries()) await store.apply(changes, i);
      expect(await store.currentEpoch()).toBe(3);
      const log = await store.changesSince(0);
      expect(log?.map(({ epoch }) => epoch)).toEqual([1, 2, 3]);
      expect((log ?? []).reduce((rows, { changes }) => changeSnapshot(rows, changes), before)).toEqual(await store.load());
      expect((await store.changesSince(2))?.map(({ changes }) => changes)).toEqual([sets[2]]);
      expect(await store.changesSince(3)).toEqual([]);
      expect(await store.changesSince(4)).toBeNull();
      await store.close();
      const again = await reopen();
      expect((await again.changesSince(1))?.length).toBe(2);
      await again.close();
    });

    it('logs nothing of changes that were refused, nothing sealed, and forgets the log where data keys change', async () => {
      const { store } = await factory.create();
      await store.apply([{ put: 'data_key', row: dataKeyRow('d1') }], 0);
      expect(await store.changesSince(0)).toBeNull();
      await store.apply([{ put: 'credential', row: credentialRow('c1') }], 1);
      await store.apply([{ put: 'sealed', row: sealedRow('c1') }, agent('a1')], 2);
      await expect(store.apply([agent('a2')], 2)).rejects.toThrow(StaleEpoch);
      await expect(store.apply([{ put: 'key', row: keyRow('k1', 'nobody') }], 3)).rejects.toThrow();
      expect(await store.changesSince(2)).toEqual([{ epoch: 3, changes: [agent('a1')] }]);
      await store.apply([{ put: 'data_key', row: dataKeyRow('d2') }], 3);
      expect([await store.changesSince(1), await store.changesSince(3), await store.changesSince(4)]).toEqual([null, null, []]);
      await store.close();
    });

    it('keeps a bounded number of epochs', async () => {
      const { store } = await factory.create();
      const count = KEPT_EPOCHS + 2;
      for (let epoch = 0; epoch < count; epoch++) await store.apply([], epoch);
      expect(await store.changesSince(1)).toBeNull();
      expect(await store.changesSince(2)).toHaveLength(KEPT_EPOCHS);
      await store.close();
    }, 60_000);

    it('takes a one-time text once, within one call, across calls and for whoever asks', async () => {
      const { store, reopen } = await factory.create();
      const nonces = (...keys: string[]) => keys.map((key, i) => ({ key, expiresAt: T + i }));
      expect(await store.useNonces(nonces('a', 'b', 'a'))).toEqual([true, true, false]);
      expect(await store.useNonces(nonces('b', 'c'))).toEqual([false, true]);
      expect(await store.useNonces([])).toEqual([]);
      const raced = await Promise.all(Array.from({ length: 8 }, () => store.useNonces(nonces('x', 'y'))));
      expect([0, 1].map((i) => raced.filter((each) => each[i]).length)).toEqual([1, 1]);
      await store.close();
      const again = await reopen();
      await again.forgetNonces(T + 1);
      expect(await again.useNonces(nonces('a', 'b', 'c'))).toEqual([true, false, false]);
      await again.close();
    });

    it('keeps the rows of a host once and in order, each journal for itself', async () => {
      const { store, reopen } = await factory.create();
      const row = (n: number, line = `line ${n}`) => ({ n, line, arrivedAt: T + n });
      const one = { hostId: 'h1', chain: 'c1' };
      await store.addHostAudit(one, []);
      expect(await store.lastHostAudit(one)).toBeUndefined();
      await Promise.all([1, 2, 3].map(() => store.addHostAudit(one, [row(2), row(1), row(10)])));
      await store.addHostAudit(one, [row(10, 'another text'), row(11)]);
      await store.addHostAudit({ hostId: 'h1', chain: 'c2' }, [row(30)]);
      await store.addHostAudit({ hostId: 'h2', chain: 'c1' }, [row(7)]);
      await store.close();
      const again = await reopen();
      expect(await again.lastHostAudit(one)).toEqual(row(11));
      expect(await again.listHostAudit(one, 0, 10)).toEqual([row(1), row(2), row(10), row(11)]);
      expect(await again.listHostAudit(one, 1, 2)).toEqual([row(2), row(10)]);
      expect(await again.listHostChains('h1')).toEqual(['c1', 'c2']);
      await again.close();
    });

    it('changes a quota for the one who knows its last version, whoever asks', async () => {
      const { store, reopen } = await factory.create();
      const row = (version: number, state = `${version}`) => ({ key: 'q', version, state, expiresAt: T + version });
      expect(await store.readQuota('q')).toBeUndefined();
      expect(await store.writeQuota(row(9), 8)).toBe(false);
      const added = await Promise.all(['a', 'b', 'c'].map((state) => store.writeQuota(row(7, state), 0)));
      expect(added.filter((isMine) => isMine)).toHaveLength(1);
      const changed = await Promise.all(['a', 'b', 'c'].map((state) => store.writeQuota(row(9, state), 7)));
      expect(changed.filter((isMine) => isMine)).toHaveLength(1);
      const winner = ['a', 'b', 'c'][changed.indexOf(true)]!;
      expect(await Promise.all([0, 7, 8].map((before) => store.writeQuota(row(10), before)))).toEqual([false, false, false]);
      await store.close();
      const again = await reopen();
      expect(await again.readQuota('q')).toEqual(row(9, winner));
      expect(await again.writeQuota({ ...row(1), key: 'p' }, 0)).toBe(true);
      expect((await again.listQuotas()).map(({ key }) => key)).toEqual(['p', 'q']);
      await again.forgetQuotas(T + 9);
      expect(await again.listQuotas()).toEqual([row(9, winner)]);
      await again.close();
    });

    it('gives a lease to one holder at a time, with a token that only rises', async () => {
      const { store } = await factory.create();
      const fences = await Promise.all(['h1', 'h2', 'h3'].map((holder) => store.acquireLease('l', holder, 100, T)));
      expect(fences.filter((fence) => fence !== null)).toEqual([1]);
      const winner = ['h1', 'h2', 'h3'][fences.indexOf(1)]!;
      expect(await store.acquireLease('l', 'other', 100, T + 99)).toBeNull();
      expect(await store.acquireLease('other lease', 'other', 100, T)).toBe(1);
      expect(await store.acquireLease('l', winner, 100, T + 99)).toBe(2);
      expect(await store.renewLease({ name: 'l', fence: 1 }, 100, T + 99)).toBe(false);
      expect(await store.renewLease({ name: 'l', fence: 2 }, 500, T + 150)).toBe(true);
      expect(await store.acquireLease('l', 'other', 100, T + 649)).toBeNull();
      expect(await store.acquireLease('l', 'other', 100, T + 650)).toBe(3);
      expect(await store.renewLease({ name: 'l', fence: 3 }, 100, T + 750)).toBe(false);
      await store.close();
    });

    it('gives a released lease to the next at once, and lets nobody release what is not theirs', async () => {
      const { store, reopen } = await factory.create();
      expect(await store.acquireLease('l', 'h1', 100, T)).toBe(1);
      await store.releaseLease({ name: 'l', fence: 1 });
      expect(await store.renewLease({ name: 'l', fence: 1 }, 100, T)).toBe(false);
      expect(await store.acquireLease('l', 'h2', 100, T)).toBe(2);
      await store.releaseLease({ name: 'l', fence: 1 });
      expect(await store.acquireLease('l', 'h1', 100, T)).toBeNull();
      await store.close();
      const again = await reopen();
      expect(await again.acquireLease('l', 'h1', 100, T + 100)).toBe(3);
      await again.close();
    });

    it('applies changes under a lease until somebody else has it, also after it ended', async () => {
      const { store } = await factory.create();
      const fence = (await store.acquireLease('l', 'h1', 100, T))!;
      expect(await store.apply([agent('a1')], 0, { name: 'l', fence })).toBe(1);
      await store.acquireLease('l', 'h2', 100, T + 100);
      await expect(store.apply([agent('a2')], 1, { name: 'l', fence })).rejects.toThrow(LostLease);
      await expect(store.apply([agent('a2')], 1, { name: 'nothing', fence: 1 })).rejects.toThrow(LostLease);
      expect((await store.load()).agents.map(({ id }) => id)).toEqual(['a1']);
      expect(await store.currentEpoch()).toBe(1);
      await store.close();
    });
  });
}
