import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { AuditOpening } from '../../../src/domain/audit.ts';
import type { Block } from '../../../src/journal/block.ts';
import { BlockIndex } from '../../../src/journal/block-index.ts';
import { entryOf } from '../../../src/journal/entry-text.ts';
import { isMatch } from '../../../src/journal/filter.ts';
import { PageScan } from '../../../src/journal/query.ts';
import type { AuditFilter } from '../../../src/journal/reader.ts';
import { mayHold, termSetOf } from '../../../src/journal/term-set.ts';
import { closing, headKey, opening, type Place, place } from './samples.ts';

const ROWS = 3000;
let here: Place;
let db: Database.Database;
let index: BlockIndex;
let blocks: Pick<Block, 'first_n' | 'last_n'>[];

function rowAt(i: number): Partial<AuditOpening> {
  return {
    agent: `bot-${i % 7}`,
    trace_id: i.toString(16).padStart(32, '0'),
    run_id: `run-${Math.floor(i / 100)}`,
    method: i % 2 === 0 ? 'GET' : 'POST',
    uid: i === 77 ? 4242 : null,
    path: `/item/${i}`,
    reason: i === 1234 ? 'Größe "42" \\ prüfen' : null,
    ...(i % 500 === 3 ? { decision: 'deny' as const, error: 'policy_violation', policy_error: 'method_not_allowed' } : {}),
  };
}

beforeAll(async () => {
  here = place();
  const journal = await here.open({ segmentBytes: 4 * 1024 * 1024 });
  for (let done = 0; done < ROWS; done += 600) {
    await Promise.all(Array.from({ length: 600 }, (_, i) => journal.record(opening(rowAt(done + i)), closing())));
    await journal.stats();
  }
  await journal.close();
  db = new Database(join(here.dir, 'audit.db'));
  db.exec('DELETE FROM block_index');
  index = new BlockIndex(db, headKey());
  blocks = db.prepare<[], Pick<Block, 'first_n' | 'last_n'>>('SELECT first_n, last_n FROM blocks ORDER BY first_n').all();
});
afterAll(() => {
  db.close();
  here.remove();
});

/** Rows found, and how many steps it took: one for each block that is read, and a few to choose them. */
function search(filter: AuditFilter, by = index): { found: number[]; read: number } {
  const scan = new PageScan(db, by, filter, 1, ROWS);
  let read = 0;
  while (scan.step()) read += 1;
  return { found: scan.rows.map(({ n }) => n as number), read };
}

const FILTERS: readonly [string, AuditFilter, number][] = [
  ['a trace', { trace: (1500).toString(16).padStart(32, '0') }, 1],
  ['a run', { run: 'run-12', limit: 1000 }, 100],
  ['a run, asked for as a trace', { trace: 'run-12', limit: 1000 }, 100],
  ['denied', { decision: 'deny' }, 6],
  ['an agent and an error', { agent: 'bot-3', error: 'policy_violation' }, 1],
  ['a policy error', { error: 'method_not_allowed' }, 6],
  ['a uid', { user: '4242' }, 1],
  ['a text in another case', { text: '/ITEM/2999' }, 1],
  ['a text that JSON escapes', { text: 'größe "42" \\' }, 1],
  ['a method, oldest first, a page of it', { method: 'POST', order: 'oldest', limit: 7, after: 1000 }, 7],
  ['nothing that is there', { session: 'none' }, 0],
  ['half a name', { agent: 'bot-' }, 0],
];

describe('a search', () => {
  test.each(FILTERS)('for %s finds the same with the index, without it, and with one that was edited', (_name, filter, count) => {
    db.exec('DELETE FROM block_index');
    const without = search(filter).found;
    expect(without).toHaveLength(count);
    const fresh = new BlockIndex(db, headKey());
    while (fresh.indexOne());
    expect(db.prepare('SELECT count(*) FROM block_index').pluck().get()).toBe(blocks.length - 1);
    expect(search(filter).found).toEqual(without);
    // SECURITY: an index that says "nothing here" hides no row, because it is not believed.
    db.exec('UPDATE block_index SET terms = zeroblob(length(terms))');
    expect(search(filter).found).toEqual(without);
  });

  test('for something rare reads few blocks', () => {
    db.exec('DELETE FROM block_index');
    const all = search({ trace: (1500).toString(16).padStart(32, '0') }).read;
    const fresh = new BlockIndex(db, headKey());
    while (fresh.indexOne());
    const few = search({ trace: (1500).toString(16).padStart(32, '0') }).read;
    expect(blocks.length).toBeGreaterThan(4);
    expect(all).toBeGreaterThanOrEqual(blocks.length);
    expect(few).toBeLessThanOrEqual(4);
  });

  test('goes by the same entries after their key was replaced, and by none that was edited', () => {
    db.exec('DELETE FROM block_index');
    const filter = { trace: (1500).toString(16).padStart(32, '0') };
    const fresh = new BlockIndex(db, headKey());
    while (fresh.indexOne());
    const { found, read } = search(filter);
    const reseal = (): BlockIndex => {
      const moving = new BlockIndex(db, headKey());
      moving.useKey(headKey(8));
      for (let at: number | null = moving.resealAfter(-1); at !== null; at = moving.resealAfter(at))
        expect(search(filter, moving).found).toEqual(found);
      return new BlockIndex(db, headKey(8));
    };
    // SECURITY: an entry that is not vouched for must not be sealed anew.
    const edited = db.prepare<[], { first_n: number }>('SELECT first_n FROM block_index ORDER BY first_n').get()?.first_n;
    db.prepare('UPDATE block_index SET terms = zeroblob(length(terms)) WHERE first_n = ?').run(edited);
    expect(search(filter, reseal())).toEqual({ found, read: read + 1 });
    // Whoever has only the key of before reads everything.
    expect(search(filter).read).toBeGreaterThanOrEqual(blocks.length);
  });

  test('goes page by page without a gap or a repetition', () => {
    const seen: number[] = [];
    for (let after: number | undefined; ; ) {
      const { found } = search({ run: 'run-7', limit: 30, ...(after === undefined ? {} : { after }) });
      if (found.length === 0) break;
      seen.push(...found);
      after = found.at(-1);
    }
    expect(seen).toEqual(Array.from({ length: 100 }, (_, i) => 800 - i));
  });

  test('of a live entry agrees with the search of its row', () => {
    const body =
      db.prepare<[], { body: Buffer }>('SELECT body FROM blocks ORDER BY first_n LIMIT 1').get()?.body.toString('latin1') ?? '';
    const entry = entryOf({ n: 1, body: body.split('\n')[1]?.slice(0, -64) ?? '', hash: null });
    expect(
      isMatch(entry as unknown as Record<string, unknown> & { at: number }, { agent: 'bot-0', text: 'ITEM/0', method: 'GET' }),
    ).toBe(true);
    expect(isMatch(entry as unknown as Record<string, unknown> & { at: number }, { agent: 'bot-1' })).toBe(false);
  });
});

test('a set of terms never denies what it holds, and seldom claims what it does not', () => {
  const terms = new Set(Array.from({ length: 900 }, (_, i) => `trace_id=${i * 7919}`));
  const set = termSetOf(terms);
  for (const term of terms) expect(mayHold(set, term)).toBe(true);
  const wrong = Array.from({ length: 5000 }, (_, i) => `run_id=${i}`).filter((term) => mayHold(set, term));
  expect(wrong.length).toBeLessThan(150);
});

test('a journal of schema version 2 opens, keeps its rows, and is searched and signed from then on', async () => {
  const own = place();
  const journal = await own.open();
  for (let i = 0; i < 3; i += 1) await journal.record(opening({ agent: `old-${i}` }), closing());
  await journal.close();
  const old = new Database(join(own.dir, 'audit.db'));
  old.exec('DROP TABLE checkpoints; DROP TABLE block_index; DROP TABLE bodies;');
  old.pragma('user_version = 2');
  old.close();
  expect(readFileSync(join(own.dir, 'audit.db')).readUInt32BE(60)).toBe(2);
  const again = await own.open();
  expect((await again.list({ agent: 'old-1' })).map(({ n }) => n)).toEqual([2]);
  expect(await again.verify()).toMatchObject({ ok: true, rows: 3 });
  await again.close();
  const now = new Database(join(own.dir, 'audit.db'));
  expect(now.pragma('user_version', { simple: true })).toBe(4);
  now.close();
  own.remove();
});
