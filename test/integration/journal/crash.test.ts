import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { AuditEntry } from '../../../src/domain/audit.ts';
import { type Place, place } from './samples.ts';

const WRITER = fileURLToPath(new URL('./full-speed-writer.ts', import.meta.url));

let here: Place;
let child: ChildProcess | undefined;

beforeEach(() => {
  here = place();
});

afterEach(() => {
  child?.kill('SIGKILL');
  here.remove();
});

/**
 * Runs a writer until it has told of `acknowledged` openings, and on until `isEnough` (asked every 500 of them, ten times as many at the most),
 * then kills it. Answers the ids it told of, opened and closed.
 */
async function killedAfter(
  acknowledged: number,
  sync: string,
  isEnough: () => boolean = () => true,
): Promise<{ opened: Set<string>; closed: Set<string> }> {
  const opened = new Set<string>();
  const closed = new Set<string>();
  const spawned = spawn(process.execPath, ['--import', 'tsx', WRITER, here.dir, sync], { stdio: ['ignore', 'pipe', 'inherit'] });
  child = spawned;
  const exit = once(spawned, 'exit');
  let next = acknowledged;
  for await (const line of createInterface({ input: spawned.stdout })) {
    const [what, ...ids] = line.split(' ');
    for (const id of ids) (what === 'opened' ? opened : closed).add(id);
    if (opened.size < next) continue;
    next += 500;
    if (opened.size >= acknowledged * 10 || isEnough()) spawned.kill('SIGKILL');
  }
  await exit;
  return { opened, closed };
}

/** Empty when the file got its next name since it was listed. */
function textOf(file: string): string {
  try {
    return readFileSync(file, 'latin1');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
}

describe('kill -9 at full speed', () => {
  test.each([
    [40, 'interval'],
    [900, 'interval, with bodies'],
    [2500, 'interval'],
    [6000, 'interval'],
    [300, 'before_egress'],
  ])('after about %i openings (%s) nothing acknowledged is missing, nothing is doubled', async (count, sync) => {
    const { opened, closed } = await killedAfter(count, sync);
    expect(readdirSync(here.dir).some((name) => name.endsWith('.seg'))).toBe(true);
    const journal = await here.open();
    const entries = new Map<string, AuditEntry>();
    const rows = await journal.export({}, (entry) => void entries.set(entry.request_id, entry));
    expect(rows).toBe(entries.size);
    expect([...opened].filter((id) => !entries.has(id))).toEqual([]);
    // A closing isn't waited for: of those the child told of, only the last turn's may have become unknown.
    const lost = [...closed].filter((id) => entries.get(id)?.outcome === 'unknown');
    expect(lost.length).toBeLessThanOrEqual(64);
    for (const entry of entries.values()) expect(['success', 'unknown']).toContain(entry.outcome);
    expect([...entries.values()].filter((e) => e.outcome === 'unknown').length).toBeGreaterThan(0);
    expect(await journal.verify()).toMatchObject({ ok: true, rows });
    expect(await journal.stats()).toMatchObject({ open: 0, healthy: true });
    await journal.close();
  });

  test('a second death in the middle of the replay repeats nothing', async () => {
    const first = await killedAfter(4000, 'interval');
    const second = await killedAfter(10, 'interval');
    const third = await killedAfter(500, 'interval');
    const journal = await here.open();
    const ids: string[] = [];
    await journal.export({}, (entry) => void ids.push(entry.request_id));
    expect(new Set(ids).size).toBe(ids.length);
    const all = new Set(ids);
    for (const id of [...first.opened, ...second.opened, ...third.opened]) expect(all.has(id)).toBe(true);
    expect(await journal.verify()).toMatchObject({ ok: true });
    await journal.close();
  });

  /** The segment that was written last, and where its last frame begins. */
  function lastWritten(): { file: string; bytes: Buffer; lastFrame: number; end: number } {
    const names = readdirSync(here.dir).filter((name) => name.endsWith('.seg'));
    const written = names.sort().flatMap((name) => {
      const bytes = readFileSync(join(here.dir, name));
      const tag = bytes.toString('latin1', 28, 50);
      const lastFrame = bytes.lastIndexOf(`#${tag} `);
      if (lastFrame < 0) return [];
      const length = Number.parseInt(bytes.toString('latin1', lastFrame + 24, lastFrame + 32), 16);
      return [{ file: join(here.dir, name), bytes, lastFrame, end: lastFrame + 42 + length }];
    });
    return written.at(-1) as (typeof written)[0];
  }

  const idsIn = (bytes: Buffer): string[] =>
    [...bytes.toString('latin1').matchAll(/"request_id":"(req_\w+)"/g)].map((m) => m[1] ?? '');

  async function idsAfterReplay(): Promise<string[]> {
    const journal = await here.open();
    const ids: string[] = [];
    await journal.export({}, (entry) => void ids.push(entry.request_id));
    expect(await journal.verify()).toMatchObject({ ok: true, rows: ids.length });
    await journal.close();
    return ids;
  }

  test.each([
    ['with zeros at its end', 40, '\0'],
    ['with a page of a former life in it', 300, 'O700 12 1795479968370 0 {"request_id":"req_'],
  ])(
    'a last write that power loss tore, %s, is left out and told; what stands before it is taken in',
    async (_name, back, fill) => {
      await killedAfter(200, 'interval');
      const { file, bytes, lastFrame, end } = lastWritten();
      const before = idsIn(bytes.subarray(0, lastFrame));
      bytes.fill(fill, end - back, end - back + 40, 'latin1');
      writeFileSync(file, bytes);
      const ids = new Set(await idsAfterReplay());
      expect(before.filter((id) => !ids.has(id))).toEqual([]);
      expect(here.faults.join()).toContain('torn');
    },
  );

  test('what a former life left behind the last write is never read, however well it is aligned', async () => {
    await killedAfter(200, 'interval');
    const { file, bytes, end } = lastWritten();
    const text = '{"request_id":"req_forged","at":1,"outcome":"success","closed_at":2}';
    const record = `R${text.length} 999999 1 2 ${text}\n`;
    const { frameHead } = await import('../../../src/journal/frame.ts');
    const stale = `${frameHead('A'.repeat(22), Buffer.from(record))}${record}`;
    bytes.write(stale, end, 'latin1');
    writeFileSync(file, bytes);
    const ids = await idsAfterReplay();
    expect(ids).not.toContain('req_forged');
    expect(new Set(ids).size).toBe(ids.length);
    expect(here.faults.join()).not.toContain('torn');
  });

  test('segments are used again, and nothing of a former life comes back', async () => {
    // 6000 openings fill some 40 segments of 256 KiB; only a few files are ever made for them, or more where the worker is slow.
    const reusedFiles = (): string[] =>
      readdirSync(here.dir).filter((name) => {
        if (!name.endsWith('.seg')) return false;
        const text = textOf(join(here.dir, name));
        const own = `#${text.slice(28, 50)} `;
        return text.match(/#[\w-]{22} /g)?.some((tag) => tag !== own);
      });
    // Seen before the kill: the last writes may cover what shows it.
    let reused = false;
    const names = new Map<number, string>();
    const { opened, closed } = await killedAfter(6000, 'interval', () => {
      reused ||= reusedFiles().length > 0;
      for (const name of readdirSync(here.dir).filter((each) => each.endsWith('.seg'))) {
        // A file that is used again keeps its inode under its next name.
        const inode = statSync(join(here.dir, name), { throwIfNoEntry: false })?.ino ?? 0;
        reused ||= inode !== 0 && (names.get(inode) ?? name) !== name;
        names.set(inode, name);
      }
      return reused;
    });
    expect(reused).toBe(true);
    const ids = await idsAfterReplay();
    expect(new Set(ids).size).toBe(ids.length);
    // Every id was handed out: the child told of all but those of its last turns.
    expect(ids.length - new Set([...opened, ...closed]).size).toBeLessThanOrEqual(80);
  });
});
