/** The next master key beside the one in force, in each place where keys are kept, and which of the two is taken at a start. */
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { KeyRing } from '../../../src/crypto/key-ring.ts';
import { MasterKey, type MasterKeyOptions } from '../../../src/crypto/master-key.ts';
import { findMasterKey, loadKeyRing, nextKeyPlace } from '../../../src/crypto/next-key.ts';
import { temporaryDirectory } from '../../helpers/temporary.ts';

const directory = temporaryDirectory();
const [A, B, C] = [randomBytes(32), randomBytes(32), randomBytes(32)] as const;
const checkOf = (bytes: Buffer): string => new MasterKey('file', Buffer.from(bytes)).checkValue;
const key = (bytes: Buffer): MasterKey => new MasterKey('file', Buffer.from(bytes));
const PLACE = { table: 't', rowId: 'r', version: 1 };

interface Beside {
  readonly options: MasterKeyOptions;
  readonly dir: string;
}

/** Files or credentials of these names. */
function beside(source: 'file' | 'systemd', present: Buffer, next: Buffer | null): Beside {
  const dir = directory();
  const [own, other] = source === 'file' ? ['master.key', 'master.key.next'] : ['masterkey', 'masterkey-next'];
  writeFileSync(join(dir, own), present, { mode: 0o400 });
  if (next !== null) writeFileSync(join(dir, other), next, { mode: 0o400 });
  const environment = source === 'file' ? {} : { CREDENTIALS_DIRECTORY: dir };
  return { dir, options: { source, keyFile: join(dir, 'master.key'), create: false, environment } };
}

describe.each(['file', 'systemd'] as const)('of two keys in the source "%s"', (source) => {
  const cases: readonly [string, Buffer | null, Buffer | null, Buffer, readonly Buffer[]][] = [
    ['the one in its place, when nothing else is there', null, A, A, []],
    ['the one in its place, when the database names it', B, A, A, [B]],
    ['the one that waits, when the database names that', B, B, B, [A]],
    ['the one in its place, when the database names neither', B, C, A, [B]],
    ['the one in its place, where there is no database', B, null, A, [B]],
    ['the one, when both are the same', A, A, A, []],
  ];
  it.each(cases)('in force is %s', async (_what, next, recorded, inForce, others) => {
    const ring = await loadKeyRing(beside(source, A, next).options, recorded === null ? undefined : checkOf(recorded));
    expect([ring.inForce.checkValue, ring.inForce.source]).toEqual([checkOf(inForce), source]);
    expect(ring.others.map(({ checkValue }) => checkValue)).toEqual(others.map(checkOf));
  });

  it('the one that is asked for is found, and no other', async () => {
    const { options } = beside(source, A, B);
    for (const bytes of [A, B]) expect((await findMasterKey(options, checkOf(bytes)))?.checkValue).toBe(checkOf(bytes));
    expect(await findMasterKey(options, checkOf(C))).toBeUndefined();
  });
});

describe('a ring', () => {
  it('opens by either key and seals by the one in force, until the other is let go of', () => {
    const ring = new KeyRing(key(A));
    const sealed = ring.seal(Buffer.from('x'), PLACE);
    ring.use(key(B));
    expect(ring.open(sealed, PLACE).toString()).toBe('x');
    const resealed = ring.reseal(sealed, PLACE)!;
    expect(key(B).open(resealed, PLACE).toString()).toBe('x');
    expect(ring.reseal(resealed, PLACE)).toBeNull();
    expect(() => ring.open(key(C).seal(Buffer.from('x'), PLACE), PLACE)).toThrow(/does not open/);
    expect(() => ring.reseal(key(C).seal(Buffer.from('x'), PLACE), PLACE)).toThrow(/does not open/);
    ring.forgetOthers();
    expect(() => ring.open(sealed, PLACE)).toThrow(/does not open/);
    expect(ring.open(resealed, PLACE).toString()).toBe('x');
  });
});

describe('a key file', () => {
  it('that waits is made once, private, and takes the place of the one of before in one step', async () => {
    const { dir, options } = beside('file', A, null);
    const place = nextKeyPlace('file', options);
    expect(await place.read()).toBeUndefined();
    const made = await place.make();
    expect((await place.make()).checkValue).toBe(made.checkValue);
    expect(statSync(join(dir, 'master.key.next')).mode & 0o777).toBe(0o600);
    await place.promote();
    expect(readdirSync(dir)).toEqual(['master.key']);
    expect((await loadKeyRing(options, made.checkValue)).inForce.checkValue).toBe(made.checkValue);
    await place.make();
    await place.drop();
    expect(readdirSync(dir)).toEqual(['master.key']);
  });

  it('that waits and is a link, or open to others, is refused', async () => {
    const { dir, options } = beside('file', A, null);
    symlinkSync(join(dir, 'master.key'), join(dir, 'master.key.next'));
    await expect(loadKeyRing(options, checkOf(A))).rejects.toThrow(/symbolic link/);
    const open = beside('file', A, null);
    writeFileSync(join(open.dir, 'master.key.next'), B, { mode: 0o644 });
    await expect(loadKeyRing(open.options, checkOf(A))).rejects.toThrow(/mode 0644/);
  });
});

it('a credential of systemd is not made; what to put where is said, before and after', async () => {
  const place = nextKeyPlace('systemd', beside('systemd', A, null).options);
  await expect(place.make()).rejects.toMatchObject({
    code: 'conflict',
    details: {
      hint: expect.stringMatching(/systemd-creds encrypt --name=masterkey-next.*LoadCredentialEncrypted=masterkey-next:/),
    },
  });
  expect(place.howToPromote).toMatch(/decrypt --name=masterkey-next .* --name=masterkey /);
});

describe('an entry of the OS keyring', () => {
  // What is forked here is plain JavaScript, and tsx would be most of its time.
  const { execArgv } = process;
  beforeAll(() => {
    process.execArgv = [];
  });
  afterAll(() => {
    process.execArgv = execArgv;
  });
  /** Stands for libsecret's tool, with an entry for each account. */
  function keyring(): { readonly store: string; readonly options: MasterKeyOptions } {
    const dir = directory();
    const store = join(dir, 'entries');
    mkdirSync(store);
    const tool = join(dir, 'secret-tool');
    const text = [
      '#!/bin/sh',
      'verb=$1; for account; do :; done',
      `file='${store}'/$account`,
      'case $verb in',
      'store) cat > "$file" ;;',
      'clear) rm "$file" 2> /dev/null || exit 1 ;;',
      'lookup) [ -f "$file" ] && cat "$file" || exit 1 ;;',
      'esac',
    ];
    writeFileSync(tool, text.join('\n'), { mode: 0o700 });
    const dying = join(dir, 'dying.mjs');
    writeFileSync(dying, 'process.exit(3);');
    const options = { childFile: dying, secretToolCommand: tool, timeoutMs: 10_000 };
    return { store, options: { source: 'keyring', keyFile: '/nowhere', create: true, environment: {}, keyring: options } };
  }

  it('waits under an account of its own, takes the place of the one of before, and is gone from there', async () => {
    const { store, options } = keyring();
    const first = key(A);
    writeFileSync(join(store, 'masterkey'), A.toString('base64url'));
    const place = nextKeyPlace('keyring', options);
    const made = await place.make();
    expect(readdirSync(store).sort()).toEqual(['masterkey', 'masterkey-next']);
    const ring = await loadKeyRing({ ...options, create: false }, made.checkValue);
    expect([ring.inForce.checkValue, ring.others[0]?.checkValue]).toEqual([made.checkValue, first.checkValue]);
    const text = readFileSync(join(store, 'masterkey-next'), 'utf8');
    await place.promote();
    expect([readFileSync(join(store, 'masterkey'), 'utf8'), existsSync(join(store, 'masterkey-next'))]).toEqual([text, false]);
  });
});
