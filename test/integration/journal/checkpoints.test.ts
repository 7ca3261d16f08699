import { spawnSync } from 'node:child_process';
import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { nextHash } from '../../../src/journal/chain.ts';
import { type Checkpoint, checkpointLineOf, checkpointText, signCheckpoint } from '../../../src/journal/checkpoint.ts';
import { readCheckpoints, verifyExport } from '../../../src/journal/offline-verify.ts';
import { parseRowLine, rowLineOf } from '../../../src/journal/row-line.ts';
import { openSigningKey, publicPemOf } from '../../../src/journal/signing-key.ts';
import { closing, opening, type Place, place } from './samples.ts';

const { privateKey, publicKey } = generateKeyPairSync('ed25519');
const ROWS = 2500;
let here: Place;
/** A whole export of a journal that was closed in between: rows, then checkpoints. */
let lines: string[];
let checkpoints: Checkpoint[];

const from = async function* (all: readonly string[]): AsyncGenerator<string> {
  yield* all;
};
const check = async (
  all: readonly string[],
  kept: readonly Checkpoint[] = [],
  key: KeyObject | null = publicKey,
  partial = false,
) => verifyExport(from(all), [...(await readCheckpoints(from(all))), ...kept], { publicKey: key, partial });

beforeAll(async () => {
  here = place();
  const first = await here.open({ signingKey: privateKey });
  for (let done = 0; done < ROWS; done += 500) {
    await Promise.all(Array.from({ length: 500 }, (_, i) => first.record(opening({ path: `/item/${done + i + 1}` }), closing())));
    await first.stats();
  }
  await first.close();
  const second = await here.open({ signingKey: privateKey });
  for (let i = 0; i < 20; i += 1) await second.record(opening({ path: '/later' }), closing());
  lines = [];
  expect(await second.exportLines({}, (line) => void lines.push(line))).toBe(ROWS + 20);
  checkpoints = await second.checkpoints({ sign: false });
  expect(await second.verify()).toMatchObject({ ok: true, rows: ROWS + 20 });
  await second.close();
});
afterAll(() => here.remove());

describe('checkpoints', () => {
  test('are signed every thousand rows, at the end of a life, and for an export', () => {
    const places = checkpoints.map(({ n }) => n);
    expect(places).toContain(ROWS);
    expect(places.at(-1)).toBe(ROWS + 20);
    expect(places.length).toBeGreaterThanOrEqual(4);
    expect(lines.slice(-places.length)).toEqual(checkpoints.map(checkpointLineOf));
    for (const { n, hash, rows } of checkpoints) {
      expect(parseRowLine(lines[n - 1] as string)?.hash).toBe(hash);
      expect(rows).toBe(n);
    }
  });

  test('have signatures that openssl finds right, and wrong once a fact is another one', () => {
    const last = checkpoints.at(-1) as Checkpoint;
    const file = (name: string, content: string | Buffer): string => {
      writeFileSync(join(here.dir, name), content);
      return join(here.dir, name);
    };
    const pem = file('key.pub', publicPemOf(privateKey));
    const signature = file('signature', Buffer.from(last.signature, 'base64'));
    const verdict = (text: string) =>
      spawnSync(
        'openssl',
        ['pkeyutl', '-verify', '-pubin', '-inkey', pem, '-rawin', '-in', file('text', text), '-sigfile', signature],
        { encoding: 'utf8' },
      );
    expect(verdict(checkpointText(last))).toMatchObject({ status: 0, stdout: 'Signature Verified Successfully\n' });
    expect(verdict(checkpointText({ ...last, n: last.n - 1 })).status).not.toBe(0);
  });

  test('that were edited in the database, or a row that is not what was signed, are found by the check', async () => {
    const own = place();
    const journal = await own.open({ signingKey: privateKey });
    for (let i = 0; i < 5; i += 1) await journal.record(opening(), closing());
    await journal.close();
    const db = new Database(join(own.dir, 'audit.db'));
    db.prepare('UPDATE checkpoints SET hash = ? WHERE n = 5').run('0'.repeat(64));
    db.close();
    const again = await own.open({ signingKey: privateKey });
    expect(await again.verify()).toMatchObject({ ok: false, firstBad: 5 });
    await again.close();
    own.remove();
  });

  test('the key is made once, sealed and private; one that does not open is no reason for a new one', () => {
    const path = join(here.dir, 'audit.key');
    const flip = (bytes: Uint8Array): Buffer => Buffer.from(bytes.map((byte) => byte ^ 0x55));
    const sealer = { seal: flip, open: flip };
    const made = openSigningKey(path, sealer);
    expect(made.made).toBe(true);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const again = openSigningKey(path, sealer);
    expect(again.made).toBe(false);
    expect(publicPemOf(again.publicKey)).toBe(publicPemOf(made.privateKey));
    expect(() => openSigningKey(path, { ...sealer, open: (bytes) => Buffer.from(bytes) })).toThrow();
  });
});

describe('S-105: what was done to an export shows without the daemon', () => {
  const edited = (index: number, change: (line: string) => string): string[] => lines.with(index, change(lines[index] as string));
  /** Rows of which one says something else, with hashes that fit again up to the end. */
  const rewritten = (at: number): string[] => {
    let prev = parseRowLine(lines[at - 1] as string)?.prev as string;
    return lines.map((line, index) => {
      const row = parseRowLine(line);
      if (index < at - 1 || row === undefined) return line;
      const body = row.n === at ? row.body.replace('/item/', '/other/') : row.body;
      const hash = nextHash(prev, body);
      const next = rowLineOf({ n: row.n, prev, body, hash });
      prev = hash;
      return next;
    });
  };
  const stranger = generateKeyPairSync('ed25519');

  test.each<[string, number, () => string[], RegExp]>([
    ['a changed row', 7, () => edited(6, (line) => line.replace('/item/7"', '/item/8"')), /row 7 was changed/],
    ['a changed hash', 7, () => edited(6, (line) => line.replace(/"hash":"./, '"hash":"z')), /no row of an export/],
    [
      'a changed row with a hash that fits',
      8,
      () => rewritten(7).toSpliced(7, 1, lines[7] as string),
      /row 8 does not follow row 7/,
    ],
    ['a missing row', 9, () => lines.toSpliced(8, 1), /row 9 is missing/],
    ['several missing rows', 9, () => lines.toSpliced(8, 100), /rows 9 to 108 are missing/],
    [
      'rows that changed places',
      9,
      () => lines.toSpliced(8, 2, lines[9] as string, lines[8] as string),
      /row 9 stands behind row 10/,
    ],
    ['a row twice', 9, () => lines.toSpliced(9, 0, lines[8] as string), /row 9 stands behind row 9/],
    ['a cut tail', ROWS + 11, () => lines.toSpliced(ROWS + 10, 10), /missing at the end/],
    ['a cut start', 1, () => lines.slice(3), /rows 1 to 3 are missing at the start/],
    ['no rows', 1, () => lines.slice(ROWS + 20), /missing at the end/],
    ['a foreign line', 4, () => lines.toSpliced(3, 0, '{"n":4}'), /line 4, where row 4 is expected/],
    ['a chain that was computed anew', 1, () => rewritten(7), /is not what was signed/],
    [
      'a chain that was computed anew and signed with another key',
      ROWS + 20,
      () => {
        const rows = rewritten(7).slice(0, ROWS + 20);
        const { n, hash } = parseRowLine(rows.at(-1) as string) as { n: number; hash: string };
        return [
          ...rows,
          checkpointLineOf(signCheckpoint(stranger.privateKey, { installation: 'aaaa', n, hash, at: 1, rows: n })),
        ];
      },
      /was signed by the key/,
    ],
    [
      'a checkpoint whose facts were changed',
      ROWS + 20,
      () => [...lines.slice(0, ROWS + 20), checkpointLineOf({ ...(checkpoints.at(-1) as Checkpoint), rows: 3 })],
      /signature of the checkpoint of row 2520 does not fit/,
    ],
  ])('%s', async (_name, firstBad, make, reason) => {
    const result = await check(make());
    expect(result).toMatchObject({ ok: false, firstBad });
    expect(result.reason).toMatch(reason);
  });

  test('a tail that was cut together with its checkpoints, by one that was kept elsewhere', async () => {
    const cut = lines.slice(0, 1500);
    expect(await check(cut)).toMatchObject({ ok: true, checkpoints: 0, signedUpTo: null });
    expect(await check(cut, checkpoints)).toMatchObject({ ok: false, firstBad: 1501 });
  });

  test('nothing, when nothing was done', async () => {
    expect(await check(lines)).toEqual({
      ok: true,
      rows: ROWS + 20,
      firstN: 1,
      lastN: ROWS + 20,
      headHash: checkpoints.at(-1)?.hash,
      checkpoints: checkpoints.length,
      signedUpTo: ROWS + 20,
    });
    expect(
      await check(lines.slice(10, 20), [], createPublicKey(publicKey.export({ type: 'spki', format: 'pem' })), true),
    ).toMatchObject({
      ok: true,
      rows: 10,
    });
  });
});

test('what retention removed is no missing start: the newest checkpoint says where the chain begins', async () => {
  const own = place();
  const journal = await own.open({ signingKey: privateKey });
  for (let i = 0; i < 12; i += 1) await journal.record(opening(), closing());
  await journal.close();
  const removed: number[] = [];
  const later = await own.open({ signingKey: privateKey, retentionDays: 1e-9, onRemoved: (upTo) => removed.push(upTo) });
  while (removed.length === 0) await later.stats();
  for (let i = 0; i < 3; i += 1) await later.record(opening(), closing());
  const rest: string[] = [];
  await later.exportLines({}, (line) => void rest.push(line));
  expect(removed).toEqual([12]);
  const result = await check(rest);
  expect(result).toMatchObject({ ok: true, firstN: (removed[0] as number) + 1, signedUpTo: 15 });
  expect(await later.verify()).toMatchObject({ ok: true });
  expect(await check(rest.slice(1))).toMatchObject({ ok: false, firstBad: (removed[0] as number) + 1 });
  await later.close();
  own.remove();
});
