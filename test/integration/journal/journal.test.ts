import { readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { AuditEntry } from '../../../src/domain/audit.ts';
import { AlterError } from '../../../src/domain/errors.ts';
import type { Journal } from '../../../src/journal/journal.ts';
import { closing, opening, type Place, place } from './samples.ts';

const NO_BODIES = { bodies: null, body_digest: null, body_dropped: null };
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

async function reopen(changes?: Parameters<Place['open']>[0]): Promise<Journal> {
  await journal?.close();
  journal = await here.open(changes);
  return journal;
}

/** Writes `count` closed entries. Small segments may fill faster than new ones are made: then it tries again. */
async function fill(to: Journal, count: number): Promise<void> {
  for (let written = 0; written < count; ) {
    try {
      (await to.open(opening({ path: `/item/${written}` }))).close(closing());
      written += 1;
    } catch (error) {
      if (!(error instanceof AlterError) || error.code !== 'audit_unavailable') throw error;
      await to.stats();
    }
  }
}

describe('a journal refuses to start', () => {
  test('on a database of someone else, and leaves it alone', async () => {
    await reopen();
    await journal?.close();
    journal = undefined;
    const file = join(here.dir, 'audit.db');
    const foreign = Buffer.from('this is no database of alterd'.repeat(20));
    writeFileSync(file, foreign);
    await expect(here.open()).rejects.toMatchObject({
      code: 'audit_unavailable',
      message: expect.stringContaining('left alone'),
    });
    expect(statSync(file).size).toBe(foreign.length);
    expect(readdirSync(here.dir).sort()).toEqual(['audit.db', 'audit.head']);
  });

  test('on a database with damaged pages', async () => {
    await fill(await reopen(), 200);
    await journal?.close();
    journal = undefined;
    const file = join(here.dir, 'audit.db');
    const db = new Database(file);
    const pages = db.pragma('page_count', { simple: true }) as number;
    db.close();
    const { openSync, writeSync, closeSync } = await import('node:fs');
    const fd = openSync(file, 'r+');
    writeSync(fd, Buffer.alloc(8192 * (pages - 3), 0xee), 0, 8192 * (pages - 3), 8192 * 2);
    closeSync(fd);
    await expect(here.open()).rejects.toMatchObject({ code: 'audit_unavailable' });
  });

  test('while another one has the directory', async () => {
    await reopen();
    await expect(here.open()).rejects.toMatchObject({ code: 'audit_unavailable', message: expect.stringContaining('in use') });
    const ticket = await journal?.open(opening());
    expect(ticket?.requestId).toMatch(/^req_/);
  });
});

describe('writing and reading back', () => {
  test('an entry is found by its id while it is open and after it closed', async () => {
    const j = await reopen();
    const ticket = await j.open(opening({ details: { small: 1, text: 'a', no: null, yes: true } }));
    expect(await j.find(ticket.requestId)).toMatchObject({ request_id: ticket.requestId, n: null, hash: null, closed_at: null });
    expect((await j.listOpen()).map((e) => e.request_id)).toEqual([ticket.requestId]);
    ticket.close(closing({ outcome: 'provider_error', status: null, error: 'upstream_protocol' }));
    ticket.close(closing());
    const entry = await j.find(ticket.requestId.toUpperCase().replace('REQ_', 'req_'));
    expect(entry).toMatchObject({
      n: 1,
      outcome: 'provider_error',
      error: 'upstream_protocol',
      details: { small: 1, text: 'a', no: null, yes: true },
    });
    expect(entry?.hash).toMatch(/^[0-9a-f]{64}$/);
    expect(await j.find('req_00000000000x')).toBeUndefined();
    expect(await j.find('nonsense')).toBeUndefined();
    expect(await j.stats()).toMatchObject({ rows: 1, open: 0, healthy: true, error: null, headHash: entry?.hash });
  });

  test('record keeps the error of the opening when the closing has none', async () => {
    const j = await reopen();
    const id = await j.record(
      opening({ decision: 'deny', error: 'grant_not_found' }),
      closing({ outcome: 'refused', status: 403 }),
    );
    expect(await j.find(id)).toMatchObject({ error: 'grant_not_found', outcome: 'refused', n: 1 });
  });

  test('every field survives closing and reopening', async () => {
    const full = opening({
      session_id: 's',
      uid: 1000,
      pid: 4,
      executable: '/usr/bin/x',
      rule: 'r',
      error: null,
      policy_error: 'p',
      trace_id: 't',
      parent_span_id: 'q',
      reason: 'why',
      run_id: 'run',
      thread_id: 'th',
      tool: 'hammer',
      replaced: true,
      query_keys: ['a', 'b'],
      details: { k: 'v' },
    });
    const ticket = await (await reopen()).open(full);
    ticket.close(closing());
    const j = await reopen();
    const { request_id, n, hash, closed_at, ...rest } = (await j.find(ticket.requestId)) as AuditEntry;
    expect({ request_id, n }).toEqual({ request_id: ticket.requestId, n: 1 });
    expect(closed_at).toBeGreaterThan(0);
    expect(hash).toHaveLength(64);
    expect(rest).toEqual({ ...full, ...closing(), ...NO_BODIES });
  });

  test('the same peer with another identity is never given the text of the first', async () => {
    const j = await reopen();
    const a = await j.record(opening({ agent: 'one' }), closing());
    const b = await j.record(opening({ agent: 'two' }), closing());
    const c = await j.record(opening({ agent: 'two', grant_label: 'x' }), closing());
    expect((await j.find(a))?.agent).toBe('one');
    expect((await j.find(b))?.agent).toBe('two');
    expect((await j.find(c))?.grant_label).toBe('x');
  });

  test('any text in any field comes back as it was, in exactly one row', async () => {
    const j = await reopen({ segmentBytes: 2 * 1024 * 1024 });
    const text = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 60 }),
      fc.string({ maxLength: 60 }).map((s) => `${s}\n{"type":"forged"}\r\nO1 1 1 1 x\n\u2028\0\ud800`),
    );
    let rows = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(text, { minLength: 12, maxLength: 12 }),
        fc.dictionary(text, fc.oneof(text, fc.boolean())),
        async (t, details) => {
          const at = (i: number): string => t[i] ?? '';
          const given = opening({
            action: at(0),
            agent: at(1),
            caller: at(2),
            peer: at(3),
            host: at(4),
            method: at(5),
            path: at(6),
            query_keys: [at(7), at(8)],
            protocol: at(9),
            reason: at(10),
            tool: at(11),
            details,
          });
          const id = await j.record(given, closing({ error: at(6) }));
          rows += 1;
          const { request_id: _i, n, hash: _h, closed_at: _c, ...rest } = (await j.find(id)) as AuditEntry;
          expect(n).toBe(rows);
          expect(rest).toEqual({ ...given, ...closing({ error: at(6) }), ...NO_BODIES });
        },
      ),
      { numRuns: 150 },
    );
    expect(await j.verify()).toMatchObject({ ok: true, rows });
  });

  test('a field of any length makes a row of bounded size', async () => {
    const j = await reopen({ segmentBytes: 2 * 1024 * 1024 });
    const id = await j.record(opening({ path: `/${'x'.repeat(100_000)}` }), closing());
    expect((await j.find(id))?.path).toHaveLength(8192);
    await expect(j.open(opening({ query_keys: Array.from({ length: 60 }, () => '\u20ac'.repeat(8000)) }))).rejects.toMatchObject({
      code: 'audit_unavailable',
    });
    expect(await j.stats()).toMatchObject({ rows: 1, open: 0, healthy: true });
  });
});

describe('questions', () => {
  test('filters, order and pages', async () => {
    const j = await reopen();
    for (let i = 0; i < 30; i += 1) {
      await j.record(
        opening({ at: 1000 + i, agent: i % 2 ? 'odd' : 'even', host: `h${i % 3}.test`, decision: i % 5 ? 'allow' : 'deny' }),
        closing({ status: 200 + (i % 4), outcome: i % 5 ? 'success' : 'refused' }),
      );
    }
    const ns = async (filter: Parameters<Journal['list']>[0]): Promise<(number | null)[]> =>
      (await j.list(filter)).map((e) => e.n);
    expect(await ns({ limit: 3 })).toEqual([30, 29, 28]);
    expect(await ns({ limit: 2, after: 28 })).toEqual([27, 26]);
    expect(await ns({ limit: 2, order: 'oldest', after: 3 })).toEqual([4, 5]);
    expect(await ns({ agent: 'odd', limit: 2 })).toEqual([30, 28]);
    expect(await ns({ agent: opening().agent_id ?? '', limit: 1 })).toEqual([30]);
    expect(await ns({ host: 'h1.test', status: 201, order: 'oldest' })).toEqual([2, 14, 26]);
    expect(await ns({ decision: 'deny', outcome: 'refused', order: 'oldest' })).toEqual([1, 6, 11, 16, 21, 26]);
    expect(await ns({ since: 1027 })).toEqual([30, 29, 28]);
    expect(await ns({ until: 1001 })).toEqual([2, 1]);
    expect(await ns({ host: "x' OR 1=1 --" })).toEqual([]);
    const seen: (number | null)[] = [];
    expect(await j.export({ agent: 'even' }, (e) => void seen.push(e.n))).toBe(15);
    expect(seen[0]).toBe(1);
  });

  test('the tail sees entries in chain order until it is stopped', async () => {
    const j = await reopen();
    const seen: number[] = [];
    const stop = j.tail((entry) => seen.push(entry.n ?? -1));
    await fill(j, 5);
    await j.stats();
    expect(seen).toEqual([1, 2, 3, 4, 5]);
    stop();
    await fill(j, 2);
    await j.stats();
    expect(seen).toHaveLength(5);
  });
});

describe('segments', () => {
  test('an entry that outlives many segments closes into the chain', async () => {
    const j = await reopen({ segmentBytes: 64 * 1024 });
    const long = await j.open(opening({ kind: 'tunnel', action: 'tunnel.opened' }));
    await fill(j, 400);
    expect(await j.find(long.requestId)).toMatchObject({ n: null, kind: 'tunnel' });
    expect(readdirSync(here.dir).filter((f) => f.endsWith('.seg')).length).toBeLessThan(12);
    long.close(closing());
    expect(await j.find(long.requestId)).toMatchObject({ n: 401, kind: 'tunnel', outcome: 'success' });
    expect(await j.verify()).toMatchObject({ ok: true, rows: 401 });
  });

  test('closing leaves no segment, and open entries become unknown at the next start', async () => {
    const ticket = await (await reopen()).open(opening());
    await journal?.close();
    expect(readdirSync(here.dir).sort()).toEqual(['audit.db', 'audit.head']);
    expect(statSync(here.dir).mode & 0o777).toBe(0o700);
    journal = undefined;
    const j = await reopen();
    expect(await j.find(ticket.requestId)).toMatchObject({ outcome: 'unknown', n: 1 });
    expect((await j.open(opening())).requestId > ticket.requestId).toBe(true);
    expect(await j.verify()).toMatchObject({ ok: true });
  });

  test('before_egress resolves after a sync, for each of many at once', async () => {
    const j = await reopen({ sync: 'before_egress' });
    const tickets = await Promise.all(Array.from({ length: 50 }, () => j.open(opening())));
    for (const ticket of tickets) ticket.close(closing());
    expect(new Set(tickets.map((t) => t.requestId)).size).toBe(50);
    expect(await j.verify()).toMatchObject({ ok: true, rows: 50 });
  });
});
