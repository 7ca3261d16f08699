import { mkdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { rootCertificates } from 'node:tls';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { writeBundle, writeWgetrc } from '../../../src/ca/trust.ts';
import { temporaryDirectory } from '../../integration/ca/fixture.ts';

const pem = (text: string): string =>
  `-----BEGIN CERTIFICATE-----\n${Buffer.from(text).toString('base64')}\n-----END CERTIFICATE-----\n`;
const [CA, PREVIOUS, ROOT, CORPORATE] = ['own', 'previous', 'root', 'corporate'].map(pem) as [string, string, string, string];

let temporary: ReturnType<typeof temporaryDirectory>;
let outFile: string;
let roots: string;

beforeEach(() => {
  temporary = temporaryDirectory();
  outFile = join(temporary.dir, 'out', 'bundle.pem');
  roots = join(temporary.dir, 'roots.pem');
  writeFileSync(roots, `# comment\n${ROOT}`);
});
afterEach(() => temporary.remove());

describe('writeBundle refuses', () => {
  test('S-82: a symbolic link in its place, and leaves the target alone', () => {
    const target = join(temporary.dir, 'target');
    writeFileSync(target, 'untouched');
    mkdirSync(join(temporary.dir, 'out'));
    symlinkSync(target, outFile);
    expect(() => writeBundle({ caPem: CA, systemRootsFile: roots, outFile })).toThrow(
      expect.objectContaining({ code: 'forbidden' }),
    );
    expect(readFileSync(target, 'utf8')).toBe('untouched');
  });

  test.each([
    ['is missing', '/nonexistent/roots.pem'],
    ['holds no certificate', '/etc/hostname'],
    ['is a device', '/dev/zero'],
  ])('an explicit file of roots that %s', (_what, systemRootsFile) => {
    expect(() => writeBundle({ caPem: CA, systemRootsFile, outFile })).toThrow(
      expect.objectContaining({ code: 'invalid_input' }),
    );
  });
});

describe('writeBundle', () => {
  test('S-82: holds the roots and the CA, readable for all, writable for its owner', () => {
    const written = writeBundle({ caPem: CA, systemRootsFile: roots, outFile });
    expect(readFileSync(outFile, 'utf8')).toBe(CA + ROOT);
    expect(written).toEqual({ file: outFile, rootsFrom: roots, certificateCount: 2 });
    expect(statSync(outFile).mode & 0o777).toBe(0o644);
  });

  test('keeps the previous CA while there is one', () => {
    writeBundle({ caPem: CA, previousPem: PREVIOUS, systemRootsFile: roots, outFile });
    expect(readFileSync(outFile, 'utf8')).toBe(CA + PREVIOUS + ROOT);
  });

  test('starts from the roots that the caller trusts, wherever the caller named them', () => {
    const corporate = join(temporary.dir, 'corporate.pem');
    const directory = join(temporary.dir, 'certs');
    mkdirSync(directory);
    writeFileSync(corporate, CORPORATE);
    writeFileSync(join(directory, 'x.pem'), PREVIOUS);
    writeFileSync(join(directory, 'README'), pem('no certificate file'));
    const inherited = { SSL_CERT_FILE: roots, NODE_EXTRA_CA_CERTS: corporate, SSL_CERT_DIR: `/etc/ssl/certs:${directory}` };
    expect(writeBundle({ caPem: CA, inherited, outFile }).rootsFrom).toBe(roots);
    expect(readFileSync(outFile, 'utf8')).toBe(CA + CORPORATE + PREVIOUS + ROOT);
  });

  test('falls back to the roots of the system or of Node when the caller names a file that is gone', () => {
    const written = writeBundle({ caPem: CA, inherited: { SSL_CERT_FILE: '/nonexistent' }, outFile });
    expect(written.certificateCount).toBeGreaterThan(Math.min(50, rootCertificates.length / 2));
  });

  test('never copies a private key that lies in a file of roots', () => {
    const marker = 'SEKRET-marker-key';
    writeFileSync(roots, `-----BEGIN PRIVATE KEY-----\n${marker}\n-----END PRIVATE KEY-----\n${ROOT}`);
    writeBundle({ caPem: CA, systemRootsFile: roots, outFile });
    expect(readFileSync(outFile, 'utf8')).toBe(CA + ROOT);
  });

  test('holds each certificate once, also when the caller runs inside alterd already', () => {
    writeBundle({ caPem: CA, systemRootsFile: roots, outFile });
    const nested = writeBundle({
      caPem: CA,
      inherited: { SSL_CERT_FILE: outFile },
      outFile: join(temporary.dir, 'out', 'nested.pem'),
    });
    expect(nested.certificateCount).toBe(2);
  });

  test('is left alone when nothing changed, and replaced when it did', () => {
    writeBundle({ caPem: CA, systemRootsFile: roots, outFile });
    const before = statSync(outFile).ino;
    writeBundle({ caPem: CA, systemRootsFile: roots, outFile });
    expect(statSync(outFile).ino).toBe(before);
    writeBundle({ caPem: PREVIOUS, systemRootsFile: roots, outFile });
    expect(readFileSync(outFile, 'utf8')).toBe(PREVIOUS + ROOT);
  });
});

test('writeWgetrc names the bundle', () => {
  const file = writeWgetrc(outFile, join(temporary.dir, 'out', 'wgetrc'));
  expect(readFileSync(file, 'utf8')).toBe(`ca_certificate = ${outFile}\n`);
  rmSync(file);
});
