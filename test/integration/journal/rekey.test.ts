/** The journal's head under another key: replaced while it runs, torn at any step, and not to be had with the key of before. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { HeadFile, type HeadRecord } from '../../../src/journal/head.ts';
import type { Journal } from '../../../src/journal/journal.ts';
import { closing, headKey, opening, type Place, place } from './samples.ts';

const OLD = headKey(7);
const NEW = headKey(8);
const SLOT = 1024;
const record: HeadRecord = {
  ...{ n: 3, hash: 'a'.repeat(64), anchorN: 0, anchorHash: 'b'.repeat(64) },
  ...{ clean: false, fault: null, epoch: 5 },
};

let here: Place;
let journal: Journal | undefined;
beforeEach(() => {
  here = place();
});
afterEach(async () => {
  await journal?.close();
  journal = undefined;
  here.remove();
});

const write = (): Promise<string> => (journal as Journal).record(opening(), closing());
const verify = (): Promise<object> => (journal as Journal).verify();

test('it goes on under the new key, whole, and knows the epoch; with the key of before it is damaged, and says so', async () => {
  journal = await here.open({ headKey: OLD });
  await write();
  await journal.noteEpoch(41);
  const moved = journal.rekey(NEW);
  await write();
  await moved;
  await write();
  expect(await verify()).toMatchObject({ ok: true, rows: 3 });
  await journal.close();
  journal = await here.open({ headKey: NEW });
  expect(journal.epochAtStart).toBe(41);
  expect([await verify(), here.faults]).toMatchObject([{ ok: true }, []]);
  await journal.close();
  journal = await here.open({ headKey: OLD });
  expect(await verify()).toMatchObject({ ok: false });
});

test('a start with both keys takes the head of either, and seals it by the first one when it is asked to', async () => {
  journal = await here.open({ headKey: OLD });
  await write();
  await journal.noteEpoch(7);
  await journal.close();
  // Killed before it was asked: nothing has moved.
  journal = await here.open({ headKey: NEW, otherHeadKeys: [OLD] });
  expect([journal.epochAtStart, await verify(), here.faults]).toMatchObject([7, { ok: true }, []]);
  await journal.close();
  journal = await here.open({ headKey: NEW, otherHeadKeys: [OLD] });
  await journal.rekey(NEW);
  await journal.close();
  journal = await here.open({ headKey: NEW });
  expect([journal.epochAtStart, await verify(), here.faults]).toMatchObject([7, { ok: true }, []]);
});

test('a slot that was torn while the key was replaced leaves a record that one of the two keys opens', () => {
  mkdirSync(here.dir);
  const path = join(here.dir, 'audit.head');
  const opened = (keys: readonly [typeof OLD, ...(typeof OLD)[]]): HeadRecord | undefined => {
    const head = new HeadFile(path, keys, 'here');
    head.close();
    return head.record;
  };
  writeFileSync(path, '');
  const head = new HeadFile(path, [OLD], 'here');
  for (const n of [1, 2, 3]) head.write({ ...record, n });
  const before = readFileSync(path);
  head.rekey(NEW);
  head.close();
  const after = readFileSync(path);
  for (let bytes = 0; bytes <= 2 * SLOT; bytes += 64) {
    // The slot of the older record is written first, which is the first one here.
    const torn = Buffer.concat([after.subarray(0, bytes), before.subarray(bytes)]);
    writeFileSync(path, torn);
    expect(opened([NEW, OLD])?.n, `${bytes} bytes`).toBe(3);
  }
  expect(opened([OLD])).toBeUndefined();
});
