import { rmSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { GENESIS, nextHash } from '../../../src/journal/chain.ts';
import type { Journal } from '../../../src/journal/journal.ts';
import { closing, headKey, opening, type Place, place } from './samples.ts';

let here: Place;
let journal: Journal | undefined;

/** Ten rows in one block. The writer commits when 250 ms have passed, so a machine that stands still makes two: then once more. */
beforeEach(async () => {
  for (;;) {
    here = place();
    const j = await here.open();
    await Promise.all(Array.from({ length: 10 }, (_, i) => j.record(opening({ path: `/item/${i + 1}` }), closing())));
    await j.close();
    const db = new Database(join(here.dir, 'audit.db'));
    const blocks = db.prepare('SELECT count(*) FROM blocks').pluck().get();
    db.close();
    if (blocks === 1) return;
    here.remove();
  }
});

afterEach(async () => {
  await journal?.close();
  journal = undefined;
  here.remove();
});

function tamper(sql: string): void {
  const db = new Database(join(here.dir, 'audit.db'));
  db.exec(sql);
  db.close();
}

interface Line {
  text: string;
  hash: string;
}

/** Rewrites the lines of a block; its columns stay as they are. */
function editLines(edit: (lines: Line[]) => Line[], firstN = 1): void {
  const db = new Database(join(here.dir, 'audit.db'));
  const body = db.prepare('SELECT body FROM blocks WHERE first_n = ?').pluck().get(firstN) as Buffer;
  const [before, ...rest] = body.toString('latin1').split('\n');
  const lines = rest.slice(0, -1).map((line) => ({ text: line.slice(0, -64), hash: line.slice(-64) }));
  const edited = edit(lines).map(({ text, hash }) => `${text}${hash}\n`);
  db.prepare('UPDATE blocks SET body = ? WHERE first_n = ?').run(Buffer.from(`${before}\n${edited.join('')}`, 'latin1'), firstN);
  db.close();
}

/** Hashes that fit again from the first line on. */
function rehashed(lines: readonly Line[], before = GENESIS): Line[] {
  let hash = before;
  return lines.map(({ text }) => {
    hash = nextHash(hash, text);
    return { text, hash };
  });
}

const editText =
  (n: number, edit: (text: string) => string) =>
  (lines: Line[]): Line[] =>
    lines.map((line, index) => (index === n - 1 ? { ...line, text: edit(line.text) } : line));

async function verifyAgain(changes?: Parameters<Place['open']>[0]) {
  journal = await here.open(changes);
  return journal.verify();
}

describe('S-105: what was done to the rows shows', () => {
  test.each<[string, number, (lines: Line[]) => Line[]]>([
    ['a deleted row', 5, (lines) => lines.toSpliced(4, 1)],
    ['a deleted first row', 1, (lines) => lines.toSpliced(0, 1)],
    ['an edited text', 4, editText(4, (text) => text.replace('/item/4', '/item/X'))],
    ['an edited time', 6, editText(6, (text) => text.replace(/"at":1/, '"at":2'))],
    ['a text that is no entry', 4, editText(4, () => '{}')],
    ['no text at all', 4, editText(4, () => '')],
    ['an edited hash', 8, (lines) => lines.map((line, i) => (i === 7 ? { ...line, hash: '0'.repeat(64) } : line))],
    ['two rows that changed places', 2, ([a, b, c, ...rest]) => [a, c, b, ...rest] as Line[]],
    ['two rows that changed places, with hashes that fit', 10, ([a, b, c, ...rest]) => rehashed([a, c, b, ...rest] as Line[])],
    ['a cut tail', 8, (lines) => lines.slice(0, 7)],
    ['no rows', 1, () => []],
    ['a row in the middle', 4, (lines) => lines.toSpliced(3, 0, lines[8] as Line)],
    ['a row at the end', 11, (lines) => [...lines, lines[9] as Line]],
  ])('%s', async (_name, firstBad, edit) => {
    editLines(edit);
    const result = await verifyAgain();
    expect(result).toMatchObject({ ok: false, firstBad });
    expect(result.reason).toMatch(/\w/);
  });

  test.each([
    ['an edited request number', 'UPDATE blocks SET min_request_no = 2', 1],
    ['an edited last request number', 'UPDATE blocks SET max_request_no = 99', 1],
    ['edited times', 'UPDATE blocks SET max_at = max_at + 1', 1],
    ['an edited place in time', 'UPDATE blocks SET chain_at = chain_at + 1', 1],
    ['an edited end', 'UPDATE blocks SET last_n = 7', 8],
    ['an edited hash of the end', `UPDATE blocks SET hash = '${'0'.repeat(64)}'`, 10],
    ['a moved block', 'UPDATE blocks SET first_n = 3, last_n = 12', 1],
    ['a body that is no block', `UPDATE blocks SET body = 'x'`, 1],
    ['a block before the start', 'INSERT INTO blocks SELECT 0, 0, 0, 0, 0, 0, 0, hash, body FROM blocks', 0],
    ['an emptied table', 'DELETE FROM blocks', 1],
    [
      'a removed start with an anchor that fits',
      'UPDATE journal_state SET anchor_n = 10, anchor_hash = (SELECT hash FROM blocks); DELETE FROM blocks',
      1,
    ],
    [
      'rows added while it was closed',
      `INSERT INTO blocks SELECT 11, 11, 11, 11, max_at, max_at, chain_at, hash, body FROM blocks`,
      11,
    ],
  ])('%s', async (_name, sql, firstBad) => {
    tamper(sql);
    const result = await verifyAgain();
    expect(result).toMatchObject({ ok: false, firstBad });
    expect(result.reason).toMatch(/\w/);
  });

  test('a whole chain that was computed anew', async () => {
    editLines((lines) => rehashed(editText(4, (text) => text.replace('/item/4', '/item/X'))(lines)));
    const db = new Database(join(here.dir, 'audit.db'));
    const body = db.prepare('SELECT body FROM blocks').pluck().get() as Buffer;
    db.prepare('UPDATE blocks SET hash = ?').run(body.toString('latin1').slice(-65, -1));
    db.close();
    expect(await verifyAgain()).toMatchObject({ ok: false, firstBad: 10, reason: expect.stringContaining('sealed head') });
  });

  test('a row with a hash that fits, added while it was closed', async () => {
    editLines((lines) => rehashed([...lines, lines[9] as Line]));
    const db = new Database(join(here.dir, 'audit.db'));
    const body = db.prepare('SELECT body FROM blocks').pluck().get() as Buffer;
    db.prepare('UPDATE blocks SET last_n = 11, hash = ?').run(body.toString('latin1').slice(-65, -1));
    db.close();
    expect(await verifyAgain()).toMatchObject({ ok: false, firstBad: 11, reason: expect.stringContaining('added') });
  });

  test.each([
    ['a deleted block', 'DELETE FROM blocks WHERE first_n = 523', 523],
    ['a cut tail of blocks', 'DELETE FROM blocks WHERE first_n > 11', 523],
    ['a block twice', 'INSERT INTO blocks SELECT 5000, 5511, 1, 1, 1, 1, 1, hash, body FROM blocks WHERE first_n = 523', 1211],
    [
      'two blocks that changed places',
      `UPDATE blocks SET first_n = -1 WHERE first_n = 523; UPDATE blocks SET first_n = 523 WHERE first_n = 11;
       UPDATE blocks SET first_n = 11 WHERE first_n = -1`,
      11,
    ],
  ])('in a chain of many blocks: %s', async (_name, sql, firstBad) => {
    const j = await here.open({ segmentBytes: 8 * 1024 * 1024 });
    const small = opening({
      query_keys: [],
      agent_id: null,
      grant_id: null,
      key_id: null,
      provider_id: null,
      peer: null,
      host: null,
      agent: null,
      path: null,
    });
    await Promise.all(Array.from({ length: 1200 }, () => j.record(small, closing())));
    await j.close();
    const db = new Database(join(here.dir, 'audit.db'));
    expect(db.prepare('SELECT first_n FROM blocks ORDER BY first_n').pluck().all()).toEqual([1, 11, 523, 1035]);
    db.close();
    tamper(sql);
    expect(await verifyAgain()).toMatchObject({ ok: false, firstBad });
  });

  test('a cut tail is not covered up by going on, nor by a restart', async () => {
    const db = new Database(join(here.dir, 'audit.db'));
    const body = db.prepare('SELECT body FROM blocks').pluck().get() as Buffer;
    const kept = body.toString('latin1').split('\n').slice(0, 8);
    // As whoever knows the form would: every column fits the rows that are left.
    const times = (key: 'at' | 'closed_at'): number =>
      Math.max(...kept.slice(1).map((line) => Number(new RegExp(`"${key}":(\\d+)`).exec(line)?.[1])));
    db.prepare('UPDATE blocks SET last_n = 7, max_request_no = 7, max_at = ?, chain_at = ?, hash = ?, body = ?').run(
      times('at'),
      times('closed_at'),
      kept.at(-1)?.slice(-64),
      Buffer.from(`${kept.join('\n')}\n`),
    );
    db.close();
    journal = await here.open();
    for (let i = 0; i < 10; i += 1) await journal.record(opening(), closing());
    await journal.close();
    expect(await verifyAgain()).toMatchObject({ ok: false, firstBad: 8 });
    expect(here.faults.join()).toContain('damaged at row 8');
  });

  test('a head record that is gone, or sealed with another key', async () => {
    rmSync(join(here.dir, 'audit.head'));
    expect(await verifyAgain()).toMatchObject({ ok: false, reason: expect.stringContaining('head record') });
    await journal?.close();
    expect(await verifyAgain({ headKey: headKey(9) })).toMatchObject({ ok: false });
    await journal?.close();
    truncateSync(join(here.dir, 'audit.head'), 10);
    expect(await verifyAgain()).toMatchObject({ ok: false });
  });

  test('nothing, when nothing was done', async () => {
    expect(await verifyAgain()).toMatchObject({ ok: true, rows: 10 });
    expect(here.faults).toEqual([]);
  });
});

describe('retention', () => {
  const DAY_MS = 86_400_000;

  test('removes blocks from the start, and what remains verifies', async () => {
    journal = await here.open();
    for (let i = 11; i <= 14; i += 1) await journal.record(opening({ path: `/item/${i}` }), closing());
    await journal.close();
    // The first block from 100 days ago: the texts carry their times, so they are written as the journal would have then.
    const past = Date.now() - 100 * DAY_MS;
    const old = (text: string): string => text.replace(/"closed_at":\d+/, `"closed_at":${past}`);
    editLines((lines) => rehashed(lines.map(({ text, hash }) => ({ text: old(text), hash }))));
    const db = new Database(join(here.dir, 'audit.db'));
    const first = db.prepare('SELECT body FROM blocks WHERE first_n = 1').pluck().get() as Buffer;
    const between = first.toString('latin1').slice(-65, -1);
    db.prepare('UPDATE blocks SET hash = ?, chain_at = ? WHERE first_n = 1').run(between, past);
    const second = (db.prepare('SELECT body FROM blocks WHERE first_n = 11').pluck().get() as Buffer).toString('latin1');
    const texts = second.split('\n').slice(1, -1);
    const lines = rehashed(
      texts.map((line) => ({ text: line.slice(0, -64), hash: '' })),
      between,
    );
    const hash = lines.at(-1)?.hash ?? '';
    const body = `${between}\n${lines.map((line) => `${line.text}${line.hash}\n`).join('')}`;
    db.prepare('UPDATE blocks SET body = ?, hash = ? WHERE first_n = 11').run(Buffer.from(body, 'latin1'), hash);
    const installation = db.prepare('SELECT installation FROM journal_state').pluck().get() as string;
    db.close();
    rmSync(join(here.dir, 'audit.head'));
    const { HeadFile } = await import('../../../src/journal/head.ts');
    const head = new HeadFile(join(here.dir, 'audit.head'), [headKey()], installation);
    head.write({ n: 14, hash, anchorN: 0, anchorHash: GENESIS, clean: true, fault: null, epoch: null });
    head.close();

    expect(await verifyAgain()).toMatchObject({ ok: true, rows: 14 });
    await journal?.close();
    journal = await here.open({ retentionDays: 30 });
    await journal.stats();
    expect(await journal.verify()).toMatchObject({ ok: true, rows: 4 });
    expect((await journal.list({ order: 'oldest' })).map((e) => e.n)).toEqual([11, 12, 13, 14]);
    await journal.record(opening(), closing());
    await journal.close();
    expect(await verifyAgain()).toMatchObject({ ok: true, rows: 5 });
    await journal.close();
    tamper('DELETE FROM blocks WHERE first_n = 11');
    expect(await verifyAgain()).toMatchObject({ ok: false, firstBad: 11 });
  });

  test('of everything leaves a chain that goes on', async () => {
    journal = await here.open({ retentionDays: -1 });
    await journal.stats();
    expect(await journal.verify()).toMatchObject({ ok: true, rows: 0 });
    await journal.record(opening(), closing());
    await journal.close();
    expect(await verifyAgain()).toMatchObject({ ok: true });
    await journal?.record(opening(), closing());
    expect((await journal?.list({ limit: 1 }))?.map((e) => e.n)).toEqual([12]);
  });
});
