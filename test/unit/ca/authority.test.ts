import { spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  authorityFiles,
  forgetPreviousAuthority,
  initAuthority,
  type KeySealer,
  loadAuthority,
  rotateAuthority,
} from '../../../src/ca/authority.ts';
import { temporaryDirectory, testSealer } from '../../integration/ca/fixture.ts';

const DAY_MS = 86_400_000;
let temporary: ReturnType<typeof temporaryDirectory>;
let dir: string;

beforeEach(() => {
  temporary = temporaryDirectory();
  dir = join(temporary.dir, 'ca');
});
afterEach(() => temporary.remove());

const init = () => initAuthority(dir, { sealKey: testSealer });
const codeOf = (act: () => unknown): string => {
  try {
    act();
  } catch (error) {
    return (error as { code: string }).code;
  }
  return 'nothing thrown';
};

describe('initAuthority refuses', () => {
  test('to overwrite a CA that exists', () => {
    const first = init();
    expect(codeOf(init)).toBe('conflict');
    expect(loadAuthority(dir, { sealKey: testSealer }).fingerprintSha256).toBe(first.fingerprintSha256);
  });

  test.each(['ca.key', 'ca.crt'])('S-82: a symbolic link planted as %s, and leaves its target alone', (name) => {
    const target = join(temporary.dir, 'target');
    writeFileSync(target, 'untouched');
    mkdirSync(dir, { mode: 0o755 });
    symlinkSync(target, join(dir, name));
    expect(codeOf(init)).toBe('forbidden');
    expect(readFileSync(target, 'utf8')).toBe('untouched');
  });

  test('S-82: a dangling link planted as the key', () => {
    mkdirSync(dir, { mode: 0o755 });
    symlinkSync(join(temporary.dir, 'nowhere'), join(dir, 'ca.key'));
    expect(codeOf(init)).toBe('forbidden');
    expect(existsSync(join(temporary.dir, 'nowhere'))).toBe(false);
  });

  test('S-82: a directory that is a link', () => {
    mkdirSync(join(temporary.dir, 'elsewhere'));
    symlinkSync(join(temporary.dir, 'elsewhere'), dir);
    expect(codeOf(init)).toBe('forbidden');
  });

  test('S-82: a directory that others may write to', () => {
    mkdirSync(dir);
    chmodSync(dir, 0o777);
    expect(codeOf(init)).toBe('forbidden');
  });

  test.each([['exa mple.com'], ['*.*.example'], [''], ['http://example.com'], ['a..b'], ['10.0.0.0/8']])(
    'the name constraint %j',
    (name) => {
      expect(codeOf(() => initAuthority(dir, { sealKey: testSealer, nameConstraints: [name] }))).toBe('invalid_input');
      expect(existsSync(join(dir, 'ca.key'))).toBe(false);
    },
  );
});

describe('loadAuthority refuses', () => {
  test.each<[string, () => void, string]>([
    ['a directory without a CA', () => rmSync(join(dir, 'ca.key')), 'not_found'],
    ['a key file that others can read', () => chmodSync(join(dir, 'ca.key'), 0o640), 'forbidden'],
    ['a key file that is a link', () => relink('ca.key'), 'forbidden'],
    ['a certificate that is a link', () => relink('ca.crt'), 'forbidden'],
    [
      'a key file sealed for another place',
      () => writeFileSync(join(dir, 'ca.key'), testSealer.seal(Buffer.from('{}'), { table: 'x', rowId: 'y', version: 1 })),
      'vault_unavailable',
    ],
    [
      'a key file that holds something else',
      () =>
        writeFileSync(
          join(dir, 'ca.key'),
          testSealer.seal(Buffer.from('{}'), { table: 'local_ca', rowId: 'authority', version: 1 }),
        ),
      'vault_unavailable',
    ],
    ['an empty key file', () => writeFileSync(join(dir, 'ca.key'), ''), 'vault_unavailable'],
  ])('%s', (_what, damage, code) => {
    init();
    damage();
    expect(codeOf(() => loadAuthority(dir, { sealKey: testSealer }))).toBe(code);
  });

  function relink(name: string): void {
    const moved = join(temporary.dir, name);
    writeFileSync(moved, readFileSync(join(dir, name)), { mode: 0o600 });
    rmSync(join(dir, name));
    symlinkSync(moved, join(dir, name));
  }
});

describe('a new CA', () => {
  test('has the fields that strict clients ask for', () => {
    const ca = init();
    const certificate = new X509Certificate(ca.certPem);
    expect(certificate.ca).toBe(true);
    expect(certificate.serialNumber).toMatch(/^[4-7][0-9A-F]{31}$/);
    expect(certificate.subject).toBe(certificate.issuer);
    expect(ca.subject).toBe(`alterd local CA ${ca.keyId.toString('hex').slice(0, 8)}`);
    expect(certificate.verify(certificate.publicKey)).toBe(true);
    expect(certificate.publicKey.asymmetricKeyDetails?.namedCurve).toBe('prime256v1');
    expect(Math.abs(ca.notBefore - (Date.now() - DAY_MS))).toBeLessThan(60_000);
    expect(ca.notAfter - ca.notBefore).toBeLessThanOrEqual(3653 * DAY_MS);
    expect(ca.fingerprintSha256).toMatch(/^([0-9A-F]{2}:){31}[0-9A-F]{2}$/);
  });

  test('is another one in every directory', () => {
    const [first, second] = [init(), initAuthority(`${dir}-2`, { sealKey: testSealer })];
    expect(first.subject).not.toBe(second.subject);
    expect(first.fingerprintSha256).not.toBe(second.fingerprintSha256);
  });

  test('is encoded for a life past 2049', () => {
    const ca = initAuthority(dir, { sealKey: testSealer, now: Date.UTC(2045, 0, 15) });
    expect(new Date(ca.notAfter).getUTCFullYear()).toBe(2055);
  });

  test('S-80: lies sealed in a file of mode 0600, with only the certificate readable', () => {
    const ca = init();
    const files = authorityFiles(dir);
    expect(statSync(files.key).mode & 0o777).toBe(0o600);
    expect(statSync(files.certificate).mode & 0o777).toBe(0o644);
    expect(readFileSync(files.key, 'latin1')).not.toMatch(/PRIVATE|privateKey|CERTIFICATE/);
    expect(readFileSync(files.certificate, 'utf8')).toBe(ca.certPem);
    expect(readdirSync(dir).sort()).toEqual(['ca.crt', 'ca.key']);
  });

  test('S-80: another user can read the certificate and not the key', () => {
    if (process.geteuid?.() !== 0) {
      console.info('not present: root, who alone can try as another user');
      return;
    }
    init();
    chmodSync(temporary.dir, 0o755);
    const read = (name: string) => spawnSync('cat', [join(dir, name)], { uid: 65_534, gid: 65_534, encoding: 'utf8' });
    expect(read('ca.crt').stdout).toContain('BEGIN CERTIFICATE');
    expect([read('ca.key').status, read('ca.key').stdout]).toEqual([1, '']);
  });

  test('S-80: shows its private key in no rendering', () => {
    const seen: string[] = [];
    const spy: KeySealer = {
      seal: (plain, place) => {
        seen.push((JSON.parse(Buffer.from(plain).toString()) as { privateKey: string }).privateKey);
        return testSealer.seal(plain, place);
      },
      open: testSealer.open,
    };
    const ca = initAuthority(dir, { sealKey: spy });
    const rendered = inspect(ca, { showHidden: true, depth: 9 }) + JSON.stringify(ca) + Object.keys(ca).join();
    expect(seen).toHaveLength(1);
    expect(rendered).not.toContain(seen[0]);
    expect(rendered).not.toMatch(/PrivateKey/i);
  });

  test('loads again as it was', () => {
    const made = initAuthority(dir, { sealKey: testSealer, nameConstraints: ['*.Example.com', '192.0.2.7'] });
    const loaded = loadAuthority(dir, { sealKey: testSealer });
    expect(loaded.certPem).toBe(made.certPem);
    expect(loaded.nameConstraints).toEqual(['example.com', '192.0.2.7']);
    expect(loaded.subjectDer.equals(made.subjectDer)).toBe(true);
  });

  test('gets its public copy back when that was lost or changed', () => {
    const ca = init();
    for (const spoil of [() => rmSync(ca.caFile), () => writeFileSync(ca.caFile, 'another certificate')]) {
      spoil();
      loadAuthority(dir, { sealKey: testSealer });
      expect(readFileSync(ca.caFile, 'utf8')).toBe(ca.certPem);
    }
  });
});

describe('rotateAuthority', () => {
  test('makes a new key, keeps the old certificate and the constraints', () => {
    const old = initAuthority(dir, { sealKey: testSealer, nameConstraints: ['example.com'] });
    const next = rotateAuthority(dir, { sealKey: testSealer });
    expect(next.fingerprintSha256).not.toBe(old.fingerprintSha256);
    expect(next.keyId.equals(old.keyId)).toBe(false);
    expect(next.previousPem).toBe(old.certPem);
    expect(next.nameConstraints).toEqual(['example.com']);
    expect(loadAuthority(dir, { sealKey: testSealer }).previousPem).toBe(old.certPem);
  });

  test('lets the old certificate be forgotten', () => {
    init();
    rotateAuthority(dir, { sealKey: testSealer });
    expect(forgetPreviousAuthority(dir)).toBe(true);
    expect(forgetPreviousAuthority(dir)).toBe(false);
    expect(loadAuthority(dir, { sealKey: testSealer }).previousPem).toBeNull();
  });

  test('a crash before the new key is in place leaves the old CA in force', () => {
    const old = init();
    writeFileSync(authorityFiles(dir).previous, old.certPem);
    const loaded = loadAuthority(dir, { sealKey: testSealer });
    expect([loaded.certPem, loaded.previousPem]).toEqual([old.certPem, null]);
  });

  test('a crash after it leaves the new CA in force', () => {
    const old = init();
    const next = rotateAuthority(dir, { sealKey: testSealer });
    writeFileSync(next.caFile, old.certPem);
    const loaded = loadAuthority(dir, { sealKey: testSealer });
    expect(loaded.certPem).toBe(next.certPem);
    expect(readFileSync(next.caFile, 'utf8')).toBe(next.certPem);
  });

  test('S-82: refuses a link planted as the previous certificate and changes nothing', () => {
    const old = init();
    symlinkSync('/etc/hostname', authorityFiles(dir).previous);
    expect(codeOf(() => rotateAuthority(dir, { sealKey: testSealer }))).toBe('forbidden');
    expect(lstatSync(authorityFiles(dir).previous).isSymbolicLink()).toBe(true);
    rmSync(authorityFiles(dir).previous);
    expect(loadAuthority(dir, { sealKey: testSealer }).certPem).toBe(old.certPem);
  });
});
