import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadMasterKey, type MasterKeyOptions } from '../../../src/crypto/master-key.ts';
import { temporaryDirectory } from '../../helpers/temporary.ts';

const directory = temporaryDirectory();
const load = (keyFile: string, options: Partial<MasterKeyOptions> = {}) =>
  loadMasterKey({ keyFile, create: true, environment: {}, ...options });
const unavailable = (reason: RegExp) =>
  expect.objectContaining({ code: 'vault_unavailable', message: expect.stringMatching(reason), hint: expect.any(String) });
const keyFileWith = (content: string | Buffer, mode = 0o600): string => {
  const path = join(directory(), 'master.key');
  writeFileSync(path, content, { mode });
  chmodSync(path, mode);
  return path;
};
const GOOD = randomBytes(32);

describe('the key file', () => {
  it.each([0o640, 0o604, 0o622, 0o660, 0o666, 0o700])('is refused with mode %o', async (mode) => {
    await expect(load(keyFileWith(GOOD, mode))).rejects.toThrow(unavailable(/mode 0/));
  });

  it.each([
    ['an empty file', ''],
    ['a short key', randomBytes(31)],
    ['a long key', randomBytes(33)],
    ['text', 'correct horse battery staple'],
    ['zeroes', Buffer.alloc(32)],
    ['a large file', Buffer.alloc(70_000, 'a')],
  ])('is refused when it holds %s', async (_what, content) => {
    await expect(load(keyFileWith(content))).rejects.toThrow(unavailable(/256-bit key|too large/));
  });

  it('is refused as a symbolic link, and so is a directory', async () => {
    const target = keyFileWith(GOOD);
    const link = join(directory(), 'master.key');
    symlinkSync(target, link);
    await expect(load(link)).rejects.toThrow(unavailable(/symbolic link/));
    const folder = join(directory(), 'master.key');
    mkdirSync(folder);
    await expect(load(folder)).rejects.toThrow(unavailable(/not a regular file/));
  });

  it.runIf(process.geteuid?.() === 0)('is refused when it belongs to somebody else', async () => {
    const path = keyFileWith(GOOD);
    chownSync(path, 12_345, 12_345);
    await expect(load(path)).rejects.toThrow(unavailable(/belongs to uid 12345/));
  });

  it('is not made when it may not be, or when the database knows a key already', async () => {
    const path = join(directory(), 'master.key');
    await expect(load(path, { create: false })).rejects.toThrow(unavailable(/is missing/));
    await expect(load(path, { recordedSource: 'file' })).rejects.toThrow(unavailable(/is missing/));
    expect(existsSync(path)).toBe(false);
  });

  it('is not made in a directory that others can write to', async () => {
    const shared = join(directory(), 'shared');
    mkdirSync(shared);
    chmodSync(shared, 0o777);
    await expect(load(join(shared, 'master.key'))).rejects.toThrow(unavailable(/written by other users/));
    await expect(load(join(shared, 'below', 'master.key'))).rejects.toThrow(unavailable(/written by other users/));
  });

  it('is refused beside the database, also through a link', async () => {
    const home = directory();
    const dbFile = join(home, 'state', 'vault.db');
    mkdirSync(join(home, 'state'));
    symlinkSync(join(home, 'state'), join(home, 'config'));
    await expect(load(join(home, 'state', 'master.key'), { dbFile })).rejects.toThrow(unavailable(/directory of the database/));
    await expect(load(join(home, 'state', 'deeper', 'master.key'), { dbFile })).rejects.toThrow(
      unavailable(/directory of the database/),
    );
    await expect(load(join(home, 'config', 'master.key'), { dbFile })).rejects.toThrow(unavailable(/directory of the database/));
    expect((await load(join(home, 'other', 'master.key'), { dbFile })).source).toBe('file');
  });

  it('is made once, private and whole, and read again afterwards', async () => {
    const path = join(directory(), 'new', 'master.key');
    const made = await load(path);
    expect(made.source).toBe('file');
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(statSync(join(path, '..')).mode & 0o777).toBe(0o700);
    expect(readdirSync(join(path, '..'))).toEqual(['master.key']);
    expect((await load(path, { create: false, recordedSource: 'file' })).checkValue).toBe(made.checkValue);
  });

  it('is one key when several make it at once', async () => {
    const path = join(directory(), 'master.key');
    const keys = await Promise.all(Array.from({ length: 8 }, () => load(path)));
    expect(new Set(keys.map((key) => key.checkValue)).size).toBe(1);
  });

  it('may hold raw bytes, hex or base64', async () => {
    const forms = [GOOD, `${GOOD.toString('hex')}\n`, `${GOOD.toString('base64')}\n`, GOOD.toString('base64url')];
    const keys = await Promise.all(forms.map((form) => load(keyFileWith(form), { create: false })));
    expect(new Set(keys.map((key) => key.checkValue)).size).toBe(1);
  });
});

describe('the systemd credential', () => {
  const credentials = (mode = 0o400): NodeJS.ProcessEnv => {
    const folder = directory();
    writeFileSync(join(folder, 'masterkey'), GOOD, { mode });
    chmodSync(join(folder, 'masterkey'), mode);
    return { CREDENTIALS_DIRECTORY: folder };
  };

  it('is an error when it is configured or recorded and missing, and no key file appears', async () => {
    const path = join(directory(), 'master.key');
    await expect(load(path, { source: 'systemd' })).rejects.toThrow(unavailable(/no credential/));
    await expect(load(path, { recordedSource: 'systemd' })).rejects.toThrow(unavailable(/no credential/));
    expect(existsSync(path)).toBe(false);
  });

  it('is refused when the world can read it', async () => {
    await expect(load('/nowhere', { environment: credentials(0o444) })).rejects.toThrow(unavailable(/mode 0444/));
  });

  it('is the default when there is one', async () => {
    const path = join(directory(), 'master.key');
    expect((await load(path, { environment: credentials() })).source).toBe('systemd');
    expect(existsSync(path)).toBe(false);
  });

  it('does not replace the key file that the database has recorded', async () => {
    const path = keyFileWith(randomBytes(32));
    expect((await load(path, { environment: credentials(), recordedSource: 'file' })).source).toBe('file');
  });
});

it('a source other than the recorded one is an error, never a new key', async () => {
  const path = join(directory(), 'master.key');
  await expect(load(path, { recordedSource: 'keyring', source: 'file' })).rejects.toThrow(unavailable(/OS keyring.*key file/));
  expect(existsSync(path)).toBe(false);
});

describe('the OS keyring', () => {
  const folder = directory();
  const script = (name: string, text: string, mode = 0o600): string => {
    const path = join(folder, name);
    writeFileSync(path, text, { mode });
    return path;
  };
  const stuck = script(
    'stuck.mjs',
    'process.on("message", () => {}); process.on("SIGTERM", () => {}); setInterval(() => {}, 1000);',
  );
  const dying = script('dying.mjs', 'process.exit(3);');
  const store = join(folder, 'stored');
  /** Stands for libsecret's tool: the same arguments, exit codes and streams. */
  const tool = script(
    'secret-tool',
    `#!/bin/sh\nif [ "$1" = store ]; then cat > '${store}'; else [ -f '${store}' ] && cat '${store}' || exit 1; fi\n`,
    0o700,
  );
  const keyring = (childFile: string, secretToolCommand: string, timeoutMs = 2000) => ({
    source: 'keyring' as const,
    keyring: { childFile, secretToolCommand, timeoutMs },
  });

  it('that never answers is given up after two seconds, with an error and no other key', async () => {
    const path = join(directory(), 'master.key');
    const stuckTool = script('stuck-tool', '#!/bin/sh\nexec sleep 60\n', 0o700);
    const began = performance.now();
    await expect(load(path, keyring(stuck, join(folder, 'not-there')))).rejects.toThrow(
      unavailable(/no answer within 2000 ms.*not installed/),
    );
    const tookMs = performance.now() - began;
    expect(tookMs).toBeGreaterThan(1900);
    expect(tookMs).toBeLessThan(4500);
    await expect(load(path, keyring(stuck, stuckTool, 100))).rejects.toThrow(
      unavailable(/keytar: no answer.*secret-tool: no answer/),
    );
    expect(existsSync(path)).toBe(false);
  });

  it('that fails is asked through secret-tool, where a missing entry is an error unless a key may be made', async () => {
    await expect(load('/nowhere', { ...keyring(dying, tool), create: false })).rejects.toThrow(unavailable(/no entry/));
    await expect(load('/nowhere', { ...keyring(dying, tool), recordedSource: 'keyring' })).rejects.toThrow(
      unavailable(/no entry/),
    );
    const made = await load('/nowhere', keyring(dying, tool));
    expect(made.source).toBe('keyring');
    expect(readFileSync(store, 'latin1')).toMatch(/^[A-Za-z0-9_-]{43}$/);
    expect((await load('/nowhere', { ...keyring(dying, tool), recordedSource: 'keyring' })).checkValue).toBe(made.checkValue);
  });

  it('that loses what it is given is not trusted with a key', async () => {
    const forgetful = script('forgetful-tool', '#!/bin/sh\n[ "$1" = store ] && exec cat > /dev/null\nexit 1\n', 0o700);
    await expect(load('/nowhere', keyring(dying, forgetful))).rejects.toThrow(unavailable(/did not keep/));
  });

  it('without a bus is an error from the real child process, quickly', async () => {
    const { DBUS_SESSION_BUS_ADDRESS: bus, XDG_RUNTIME_DIR: runtime } = process.env;
    delete process.env.DBUS_SESSION_BUS_ADDRESS;
    delete process.env.XDG_RUNTIME_DIR;
    try {
      await expect(
        load('/nowhere', { source: 'keyring', keyring: { secretToolCommand: join(folder, 'not-there'), timeoutMs: 10_000 } }),
      ).rejects.toThrow(unavailable(/OS keyring can't be used/));
    } finally {
      if (bus !== undefined) process.env.DBUS_SESSION_BUS_ADDRESS = bus;
      if (runtime !== undefined) process.env.XDG_RUNTIME_DIR = runtime;
    }
  });
});
