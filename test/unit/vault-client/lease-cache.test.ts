/** What a host keeps on disk: opens for it alone, and only the newest. */
import { createSecretKey, randomBytes } from 'node:crypto';
import { copyFileSync, cpSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { LeaseCache } from '../../../src/vault-client/lease-cache.ts';
import { temporaryDirectory } from '../../helpers/temporary.ts';

const directory = temporaryDirectory();
const key = createSecretKey(randomBytes(32));
const MATERIAL = new Map([['g1', { token: 'SEKRET-marker-kept' }]]);

function written(): string {
  const dir = directory();
  const cache = LeaseCache.open({ dir, key });
  expect([cache.found, cache.problem]).toEqual([null, null]);
  cache.writeHead({ epoch: 1 }, []);
  cache.writeMaterials(MATERIAL);
  cache.close();
  return dir;
}

const opened = (dir: string, with_ = key): { found: LeaseCache['found']; problem: string | null } => {
  const cache = LeaseCache.open({ dir, key: with_ });
  cache.close();
  return { found: cache.found, problem: cache.problem };
};

test('is there after a restart, and is nobody else’s to read', () => {
  const dir = written();
  expect(opened(dir).found).toEqual({ head: { epoch: 1, counter: 1 }, materials: MATERIAL });
  for (const name of readdirSync(dir)) {
    expect([name, (statSync(join(dir, name)).mode & 0o077).toString(8)]).toEqual([name, '0']);
    expect(readFileSync(join(dir, name)).includes('SEKRET-marker')).toBe(false);
  }
});

test('what was let go is gone', () => {
  const dir = written();
  const cache = LeaseCache.open({ dir, key });
  cache.writeHead({ epoch: 2 }, ['g1']);
  cache.close();
  expect(opened(dir).found).toEqual({ head: { epoch: 2, counter: 2 }, materials: new Map() });
  const cleared = LeaseCache.open({ dir, key });
  cleared.clear();
  cleared.close();
  expect(opened(dir)).toEqual({ found: null, problem: null });
});

describe('does not open', () => {
  test('on another host', () => {
    const dir = directory();
    cpSync(written(), dir, { recursive: true });
    expect(opened(dir, createSecretKey(randomBytes(32)))).toMatchObject({
      found: null,
      problem: expect.stringMatching(/another host|mark/),
    });
    // And nothing is left of it there.
    expect(opened(dir)).toMatchObject({ found: null });
  });

  test('when it is an older copy', () => {
    const dir = written();
    const older = join(dir, 'older');
    copyFileSync(join(dir, 'leases.db'), older);
    for (const epoch of [2, 3]) {
      const cache = LeaseCache.open({ dir, key });
      cache.writeHead({ epoch }, ['g1']);
      cache.close();
    }
    copyFileSync(older, join(dir, 'leases.db'));
    expect(opened(dir)).toMatchObject({ found: null, problem: expect.stringMatching(/older/) });
  });

  test.each<[string, (dir: string) => void]>([
    ['its mark is gone', (dir) => rmSync(join(dir, 'leases.mark'))],
    ['its mark is another', (dir) => writeFileSync(join(dir, 'leases.mark'), `1 ${randomBytes(32).toString('base64url')}\n`)],
    [
      'its mark is raised by hand',
      (dir) => writeFileSync(join(dir, 'leases.mark'), readFileSync(join(dir, 'leases.mark'), 'utf8').replace(/^1/, '0')),
    ],
  ])('when %s', (_what, change) => {
    const dir = written();
    change(dir);
    expect(opened(dir)).toMatchObject({ found: null, problem: expect.stringMatching(/mark/) });
    expect(opened(dir).found).toBeNull();
  });

  test('when it is damaged; a new one takes its place', () => {
    const dir = written();
    writeFileSync(join(dir, 'leases.db'), Buffer.alloc(8_192, 7));
    expect(opened(dir).found).toBeNull();
    const cache = LeaseCache.open({ dir, key });
    cache.writeHead({ epoch: 5 }, []);
    cache.close();
    expect(opened(dir).found?.head.epoch).toBe(5);
  });
});

test('a crash between file and mark loses nothing', () => {
  const dir = written();
  const before = readFileSync(join(dir, 'leases.mark'));
  const cache = LeaseCache.open({ dir, key });
  cache.writeHead({ epoch: 2 }, []);
  cache.close();
  writeFileSync(join(dir, 'leases.mark'), before);
  expect(opened(dir).found?.head.epoch).toBe(2);
});

test('one that another daemon has open is left alone', () => {
  const dir = written();
  const cache = LeaseCache.open({ dir, key });
  expect(() => LeaseCache.open({ dir, key })).toThrow(expect.objectContaining({ code: 'vault_unavailable' }));
  cache.close();
  expect(opened(dir).found?.head.epoch).toBe(1);
});
