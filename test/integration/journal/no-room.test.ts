import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { AlterError } from '../../../src/domain/errors.ts';
import type { Journal } from '../../../src/journal/journal.ts';
import { closing, opening, type Place, place } from './samples.ts';

const SEGMENT_BYTES = 256 * 1024;

let here: Place;
let mounted = false;

beforeEach(() => {
  here = place();
});

afterEach(() => {
  // Lazily: a failed test leaves its journal open, and the mount must not outlive it.
  if (mounted) spawnSync('umount', ['-l', here.dir]);
  mounted = false;
  here.remove();
});

function mountSmall(sizeKb: number): boolean {
  mkdirSync(here.dir, { recursive: true, mode: 0o700 });
  mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${sizeKb}k,mode=0700`, 'tmpfs', here.dir]).status === 0;
  return mounted;
}

/** Writes until the journal refuses for want of space; answers the ids that were acknowledged and the refusal. */
async function writeUntilFull(journal: Journal): Promise<{ ids: string[]; refusal: AlterError }> {
  const ids: string[] = [];
  for (let i = 0; ; i += 1) {
    try {
      const ticket = await journal.open(opening({ path: `/${i}` }));
      ticket.close(closing());
      ids.push(ticket.requestId);
      if (i % 50 === 0) await journal.stats();
    } catch (error) {
      if (!(error instanceof AlterError) || error.message.includes('no space')) return { ids, refusal: error as AlterError };
      await journal.stats();
    }
  }
}

/** Takes the rest of the room: single records need no place for a closing. */
async function recordUntilFull(journal: Journal): Promise<{ ids: string[]; refusal: unknown }> {
  const ids: string[] = [];
  for (;;) {
    try {
      ids.push(await journal.record(opening(), closing()));
    } catch (refusal) {
      return { ids, refusal };
    }
  }
}

/** Tries until the journal takes an entry again; the worker looks for room a few times a second. */
async function acceptedAgain(journal: Journal): Promise<string> {
  const end = Date.now() + 15_000;
  for (;;) {
    try {
      const id = await journal.record(opening({ path: '/after' }), closing());
      // The segments take rows a moment before the database does.
      while (!(await journal.stats()).healthy) if (Date.now() > end) throw new Error('the database takes no rows');
      return id;
    } catch (error) {
      if (Date.now() > end) throw error;
      await journal.stats();
    }
  }
}

async function idsOf(journal: Journal): Promise<string[]> {
  const ids: string[] = [];
  await journal.export({}, (entry) => void ids.push(entry.request_id));
  return ids;
}

describe('S-104: a full disk', () => {
  test('refuses openings, loses none that was acknowledged, and is over once there is room', async () => {
    if (!mountSmall(6 * 1024)) {
      console.log('not possible here: tmpfs mount; the file size limit test below stands in for it');
      return;
    }
    const journal = await here.open({ segmentBytes: SEGMENT_BYTES });
    const ballast = join(here.dir, 'ballast');
    writeFileSync(ballast, Buffer.alloc(2 * 1024 * 1024));
    const { ids, refusal } = await writeUntilFull(journal);
    expect(refusal).toMatchObject({ code: 'audit_unavailable', proxyStatus: 503 });
    const more = await recordUntilFull(journal);
    expect(more.refusal).toMatchObject({ code: 'audit_unavailable' });
    ids.push(...more.ids);
    expect(await journal.stats()).toMatchObject({ healthy: false, error: expect.stringContaining('no space') });
    expect(here.faults.join()).toContain('no space');
    rmSync(ballast);
    const after = await acceptedAgain(journal);
    const kept = new Set(await idsOf(journal));
    expect(ids.filter((id) => !kept.has(id))).toEqual([]);
    expect(kept.has(after)).toBe(true);
    expect((await journal.list({ outcome: 'unknown' })).length).toBe(0);
    expect(await journal.verify()).toMatchObject({ ok: true });
    await journal.close();
  });

  test('at the end of the daemon keeps the rows in the segments for the next start', async () => {
    if (!mountSmall(3 * 1024)) {
      console.log('not possible here: tmpfs mount');
      return;
    }
    const journal = await here.open({ segmentBytes: SEGMENT_BYTES });
    const { ids } = await writeUntilFull(journal);
    await journal.close();
    spawnSync('mount', ['-o', 'remount,size=20m', here.dir]);
    const again = await here.open({ segmentBytes: SEGMENT_BYTES });
    const kept = await idsOf(again);
    expect(new Set(kept).size).toBe(kept.length);
    expect(ids.filter((id) => !kept.includes(id))).toEqual([]);
    expect(await again.verify()).toMatchObject({ ok: true });
    await again.close();
  });

  test('shown by a limit on file sizes: the database stops growing, openings are refused, nothing is lost', async () => {
    const script = fileURLToPath(new URL('./limited-writer.ts', import.meta.url));
    // 1024-byte units in bash: segments fit under the limit, the database soon doesn't.
    const ran = spawnSync(
      'bash',
      ['-c', `ulimit -f 700; trap '' XFSZ; exec "$0" --import tsx "$1" "$2"`, process.execPath, script, here.dir],
      {
        encoding: 'utf8',
      },
    );
    expect(ran.stderr).not.toContain('Error:');
    const told = JSON.parse(ran.stdout) as { ids: string[]; code: string };
    expect(told.code).toBe('audit_unavailable');
    const again = await here.open({ segmentBytes: SEGMENT_BYTES });
    const kept = new Set(await idsOf(again));
    expect(told.ids.filter((id) => !kept.has(id))).toEqual([]);
    expect(await again.verify()).toMatchObject({ ok: true, rows: kept.size });
    await again.close();
  });
});

describe('a worker that is behind', () => {
  test('bounds what may wait for it, and catches up', async () => {
    const journal = await here.open({ segmentBytes: 64 * 1024, maxBacklogSegments: 2 });
    const asked = Array.from({ length: 3000 }, () => journal.open(opening()));
    const results = await Promise.allSettled(asked);
    const taken = results.flatMap((r) => (r.status === 'fulfilled' ? [r.value] : []));
    const refused = results.flatMap((r) => (r.status === 'rejected' ? [r.reason as AlterError] : []));
    expect(taken.length).toBeGreaterThan(10);
    expect(refused.length).toBeGreaterThan(10);
    expect(new Set(refused.map((e) => e.code))).toEqual(new Set(['audit_unavailable']));
    for (const ticket of taken) ticket.close(closing());
    await acceptedAgain(journal);
    expect(await journal.stats()).toMatchObject({ rows: taken.length + 1, open: 0 });
    expect(existsSync(join(here.dir, 'audit.db')) && statSync(join(here.dir, 'audit.db')).mode & 0o077).toBe(0);
    await journal.close();
  });
});
