/** The system store by the real update-ca-certificates, in directories of the test's own, and the JVM truststore by keytool. */
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { LocalCa } from '../../../src/ca/authority.ts';
import { installSystemTrust, removeSystemTrust, type SystemStore } from '../../../src/ca/system-store.ts';
import { ensureTruststore } from '../../../src/ca/truststore.ts';
import { isPresent, newCa, run, temporaryDirectory } from './fixture.ts';

const temporary = temporaryDirectory();
let ca: LocalCa;
let store: SystemStore;
let counter = 0;

beforeAll(() => {
  ca = newCa(temporary.dir);
});
beforeEach(() => {
  const own = join(temporary.dir, `store-${counter++}`);
  for (const name of ['local', 'etc', 'hooks']) mkdirSync(join(own, name), { recursive: true });
  writeFileSync(join(own, 'conf'), '');
  store = {
    directory: join(own, 'local'),
    command: 'update-ca-certificates',
    args: [
      '--localcertsdir',
      join(own, 'local'),
      '--etccertsdir',
      join(own, 'etc'),
      '--hooksdir',
      join(own, 'hooks'),
      '--certsconf',
      join(own, 'conf'),
    ],
  };
});
afterAll(() => temporary.remove());

const merged = (): string => readFileSync(join(store.directory, '../etc/ca-certificates.crt'), 'utf8');

describe('the system store', () => {
  test('S-82: refuses a link planted under our name', async () => {
    const victim = join(temporary.dir, 'victim');
    writeFileSync(victim, 'untouched');
    symlinkSync(victim, join(store.directory, `alterd-${ca.keyId.toString('hex').slice(0, 8)}.crt`));
    await expect(installSystemTrust(ca, store)).rejects.toMatchObject({ code: 'forbidden' });
    expect(readFileSync(victim, 'utf8')).toBe('untouched');
  });

  test('says so when the command of the system fails', async () => {
    await expect(installSystemTrust(ca, { ...store, command: 'false' })).rejects.toMatchObject({ code: 'conflict' });
  });

  test('trusts the CA once asked, and forgets it once asked', async () => {
    if (!isPresent('update-ca-certificates')) return;
    // Another local root: the command writes no bundle at all when none is left.
    mkdirSync(join(temporary.dir, 'neighbour'));
    const neighbour = newCa(join(temporary.dir, 'neighbour'));
    writeFileSync(join(store.directory, 'neighbour.crt'), neighbour.certPem);
    const installed = await installSystemTrust(ca, store);
    expect(installed.changed).toBe(true);
    expect(installed.file).toMatch(/\/alterd-[0-9a-f]{8}\.crt$/);
    expect(merged()).toContain(ca.certPem.trim());
    expect(await installSystemTrust(ca, store)).toEqual({ file: installed.file, changed: false, command: null });

    expect((await removeSystemTrust(ca, store)).changed).toBe(true);
    expect(existsSync(installed.file)).toBe(false);
    expect(merged()).not.toContain(ca.certPem.trim());
    expect(merged()).toContain(neighbour.certPem.trim());
    expect((await removeSystemTrust(ca, store)).changed).toBe(false);
  });

  test('S-80: making a CA leaves the store of the machine as it was', () => {
    const listing = existsSync('/usr/local/share/ca-certificates') ? readdirSync('/usr/local/share/ca-certificates') : [];
    mkdirSync(join(temporary.dir, 'fresh'));
    newCa(join(temporary.dir, 'fresh'));
    expect(existsSync('/usr/local/share/ca-certificates') ? readdirSync('/usr/local/share/ca-certificates') : []).toEqual(
      listing,
    );
  });
});

describe('the JVM truststore', () => {
  const options = () => ({ caFile: ca.caFile, fingerprintSha256: ca.fingerprintSha256, outDir: join(temporary.dir, 'jvm') });

  test.each([
    ['there is no keytool', { environment: { PATH: '/nonexistent' } }, /not installed/],
    ['there is no cacerts file', { cacertsFile: '/nonexistent' }, /cacerts|not installed/],
  ])('is unavailable, without an error, when %s', async (_what, more, reason) => {
    const result = await ensureTruststore({ ...options(), ...more });
    expect(result).toEqual({ available: false, reason: expect.stringMatching(reason) });
  });

  test('is unavailable, and leaves nothing behind, when keytool fails', async () => {
    const broken = join(temporary.dir, 'keytool');
    writeFileSync(broken, '#!/bin/sh\necho broken >&2\nexit 1\n');
    chmodSync(broken, 0o755);
    const result = await ensureTruststore({ ...options(), keytool: broken, cacertsFile: ca.caFile });
    expect(result).toEqual({ available: false, reason: expect.stringMatching(/keytool failed/) });
    expect(readdirSync(join(temporary.dir, 'jvm'))).toEqual([]);
  });

  test("holds Java's roots and the CA, and is made once", async () => {
    if (!isPresent('keytool')) return;
    const made = await ensureTruststore(options());
    if (!made.available) throw new Error(made.reason);
    const listing = await run('keytool', ['-list', '-keystore', made.file, '-storepass', 'changeit']);
    expect(listing.stdout).toContain(ca.fingerprintSha256);
    expect(Number(/contains (\d+) entries/.exec(listing.stdout)?.[1])).toBeGreaterThan(20);
    expect(statSync(made.file).mode & 0o777).toBe(0o644);
    const { ino } = statSync(made.file);
    expect(await ensureTruststore(options())).toEqual(made);
    expect(statSync(made.file).ino).toBe(ino);
  });
});
