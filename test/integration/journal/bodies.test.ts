import { generateKeyPairSync } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { CapturedBodies } from '../../../src/domain/audit-body.ts';
import type { Journal, JournalOptions } from '../../../src/journal/journal.ts';
import { verifyExport } from '../../../src/journal/offline-verify.ts';
import { captured, closing, opening, type Place, place } from './samples.ts';

const MARKER = 'SEKRET-marker-body';
const { privateKey: signingKey } = generateKeyPairSync('ed25519');

let here: Place;
let journal: Journal;

beforeEach(async () => {
  here = place();
  journal = await open();
});

afterEach(async () => {
  await journal.close().catch(() => {});
  here.remove();
});

const open = (changes: Partial<JournalOptions> = {}): Promise<Journal> => here.open({ signingKey, ...changes });

async function reopened(changes: Partial<JournalOptions> = {}): Promise<void> {
  await journal.close();
  journal = await open(changes);
}

/** Retention takes everything that is there. Answers the last row that it took. */
async function reopenedWithoutRows(changes: Partial<JournalOptions> = {}): Promise<number> {
  let tell = (_upTo: number): void => {};
  const removed = new Promise<number>((resolve) => (tell = resolve));
  await reopened({ ...changes, retentionDays: 1e-9, onRemoved: (upTo) => tell(upTo) });
  return removed;
}

/** The id of an exchange with these bodies. */
async function exchange(bodies: CapturedBodies | null): Promise<string> {
  const ticket = await journal.open(opening());
  ticket.close(closing({ captured: bodies }));
  return ticket.requestId;
}

const filesText = (): string =>
  readdirSync(here.dir)
    .map((name) => readFileSync(join(here.dir, name), 'latin1'))
    .join('\n');

function edit(sql: string, ...values: unknown[]): void {
  const db = new Database(join(here.dir, 'audit.db'));
  db.prepare(sql).run(...values);
  db.close();
}

test('bodies are kept beside their row, redacted, and read back by who has the key', async () => {
  const plain = await exchange(null);
  const id = await exchange(captured(`{"a":1,"password":"${MARKER}"}`, 'pong'));
  const [row] = await journal.list({ limit: 1 });
  expect(row).toMatchObject({ request_id: id, bodies: 'both', body_dropped: null });
  expect(row?.body_digest).toMatch(/^[0-9a-f]{64}$/);
  const stored = await journal.bodies(id);
  expect(stored?.request?.bytes.toString()).toBe('{"a":1,"password":"[redacted]"}');
  expect(stored?.request).toMatchObject({ redacted: 1, contentType: 'application/json', truncated: false });
  expect(stored?.response?.bytes.toString()).toBe('pong');
  expect(await journal.find(plain)).toMatchObject({ bodies: null, body_digest: null, body_dropped: null });
  expect(await journal.bodies(plain)).toBeNull();
  expect(await journal.bodies('req_0000000000000')).toBeNull();
  await reopened();
  expect((await journal.bodies(id))?.response?.bytes.toString()).toBe('pong');
  await reopened({ signingKey: generateKeyPairSync('ed25519').privateKey });
  await expect(journal.bodies(id)).rejects.toMatchObject({ code: 'vault_unavailable' });
});

test('no file holds anything of them, before and after the database has them', async () => {
  await exchange(captured(`{"note":"${MARKER}"}`, MARKER));
  // The next opening takes the closing along into the segment.
  await journal.open(opening());
  expect(filesText()).not.toContain(MARKER);
  expect(filesText()).toContain('"bodies":"both"');
  await journal.close();
  expect(filesText()).not.toContain(MARKER);
});

test('one side alone, and what was left out, stand in the row', async () => {
  const request = await exchange(captured('x', null));
  const response = await exchange(captured(null, 'x', { dropped: 'coded' }));
  const none = await exchange(captured(null, null, { dropped: 'unsearched' }));
  const empty = await exchange(captured(null, null));
  expect(await journal.find(request)).toMatchObject({ bodies: 'request', body_dropped: null });
  expect(await journal.find(response)).toMatchObject({ bodies: 'response', body_dropped: 'coded' });
  expect(await journal.find(none)).toMatchObject({ bodies: null, body_digest: null, body_dropped: 'unsearched' });
  expect(await journal.find(empty)).toMatchObject({ bodies: null, body_dropped: null });
  expect(await journal.verify()).toMatchObject({ ok: true });
});

test('what is done to stored bodies shows', async () => {
  const ids = [
    await exchange(captured('first', null)),
    await exchange(captured('second', null)),
    await exchange(captured('third', null)),
  ];
  const each: [tamper: () => void, row: number, reason: string][] = [
    [() => edit('DELETE FROM bodies WHERE n = 3'), 3, 'are missing'],
    [() => edit('UPDATE bodies SET sealed = (SELECT sealed FROM bodies WHERE n = 1) WHERE n = 2'), 2, 'were changed'],
    [() => edit('UPDATE bodies SET sealed = ? WHERE n = 1', Buffer.from('x')), 1, 'were changed'],
  ];
  expect(await journal.verify()).toMatchObject({ ok: true, rows: 3 });
  for (const [tamper, row, reason] of each) {
    await journal.close();
    tamper();
    journal = await open();
    expect(await journal.verify()).toMatchObject({
      ok: false,
      firstBad: row,
      reason: `the bodies kept beside row ${row} ${reason}`,
    });
    await expect(journal.bodies(ids[row - 1] as string)).rejects.toThrow('are not as they were written');
  }
});

test('retention takes them with their rows', async () => {
  await exchange(captured('x', 'y'));
  expect(await reopenedWithoutRows()).toBe(1);
  const kept = await exchange(captured('later', null));
  expect(await journal.verify()).toMatchObject({ ok: true, rows: 1 });
  expect((await journal.bodies(kept))?.request?.bytes.toString()).toBe('later');
  await journal.close();
  const db = new Database(join(here.dir, 'audit.db'));
  expect(db.prepare('SELECT n FROM bodies').pluck().all()).toEqual([2]);
  db.close();
});

test('their room is bounded, across restarts, and given back by retention; rows go on', async () => {
  const big = 'x'.repeat(1_000);
  await reopened({ maxBodiesBytes: 2_500 });
  expect(await journal.find(await exchange(captured(big, null)))).toMatchObject({ bodies: 'request' });
  await reopened({ maxBodiesBytes: 2_500 });
  expect(await journal.find(await exchange(captured(big, null)))).toMatchObject({ bodies: 'request' });
  expect(await journal.find(await exchange(captured(big, null)))).toMatchObject({ bodies: null, body_dropped: 'full' });
  await reopenedWithoutRows({ maxBodiesBytes: 2_500 });
  expect(await journal.find(await exchange(captured(big, null)))).toMatchObject({ bodies: 'request' });
});

test('a flood of bodies leaves bodies out, and refuses no row', async () => {
  const bodies = captured('x'.repeat(60_000), 'y'.repeat(60_000));
  await reopened({ segmentBytes: 1024 * 1024 });
  // More than fits in one write.
  const huge = await exchange(captured('x'.repeat(300_000), null));
  expect(await journal.find(huge)).toMatchObject({ outcome: 'success', bodies: null, body_dropped: 'behind' });
  const ids: string[] = [];
  for (let i = 0; i < 120; i += 1) ids.push(await exchange(bodies));
  const entries = new Map((await journal.list({ limit: 200 })).map((entry) => [entry.request_id, entry]));
  const marks = ids.map((id) => entries.get(id)?.bodies ?? entries.get(id)?.body_dropped);
  expect(new Set(marks)).toEqual(new Set(['both', 'behind']));
  expect(await journal.verify()).toMatchObject({ ok: true });
  expect(here.faults).toEqual([]);
});

test('an export says which rows have bodies; with lines for them it can still be checked', async () => {
  await exchange(null);
  const id = await exchange(captured('x', null));
  const lines: string[] = [];
  await journal.exportLines({}, async (line, bodiesOf) => {
    lines.push(line);
    if (bodiesOf) lines.push(JSON.stringify({ kind: 'bodies', request_id: bodiesOf, request: null, response: null }));
  });
  expect(lines.filter((line) => line.startsWith('{"kind":"bodies"'))).toEqual([
    `{"kind":"bodies","request_id":"${id}","request":null,"response":null}`,
  ]);
  const each = async function* (): AsyncGenerator<string> {
    yield* lines;
  };
  expect(await verifyExport(each(), [], { publicKey: null, partial: false })).toMatchObject({ ok: true, rows: 2 });
});

test('a database of before has room for them', async () => {
  await exchange(null);
  await journal.close();
  const db = new Database(join(here.dir, 'audit.db'));
  db.exec('DROP TABLE bodies');
  db.pragma('user_version = 3');
  db.close();
  journal = await open();
  expect(await journal.find(await exchange(captured('x', null)))).toMatchObject({ bodies: 'request' });
  expect(await journal.verify()).toMatchObject({ ok: true, rows: 2 });
});
