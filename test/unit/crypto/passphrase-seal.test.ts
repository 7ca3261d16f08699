import { describe, expect, it } from 'vitest';
import { openWithPassphrase, sealWithPassphrase } from '../../../src/crypto/passphrase-seal.ts';
import { Secret } from '../../../src/domain/secret.ts';

const PASSPHRASE = new Secret('SEKRET-marker-passphrasé');
const CONTENT = Buffer.from('SEKRET-marker-content');
const KIND = 'test 1';
const sealed = (more: object = {}): Promise<Buffer> =>
  sealWithPassphrase(CONTENT, PASSPHRASE, { kind: KIND, now: 0, costLog2: 10, ...more });
const opened = (file: Uint8Array, passphrase = PASSPHRASE): Promise<Buffer> => openWithPassphrase(file, passphrase, KIND);
const refusedAs = (problem: string) =>
  expect.objectContaining({ code: 'sealed_file_refused', details: expect.objectContaining({ file_problem: problem }) });
const secondLine = (file: Buffer): Record<string, unknown> =>
  JSON.parse(file.toString('latin1').split('\n')[1] ?? '') as Record<string, unknown>;
/** The file with another second line. */
function withHead(file: Buffer, change: Record<string, unknown>): Buffer {
  const [first = '', second = ''] = file.toString('latin1').split('\n');
  const head = JSON.stringify({ ...(JSON.parse(second) as object), ...change });
  return Buffer.concat([Buffer.from(`${first}\n${head}\n`), file.subarray(first.length + second.length + 2)]);
}

describe('a file that a passphrase opens', () => {
  it('gives back what went in, says how in two lines, and shows nothing of it', async () => {
    const file = await sealed();
    expect((await opened(file)).toString()).toBe(CONTENT.toString());
    expect(file.toString('latin1')).not.toContain('SEKRET');
    expect(file.toString('latin1')).toMatch(/^alterd-sealed 1\n\{.*\}\n/);
    expect(secondLine(file)).toMatchObject({ kind: KIND, kdf: 'scrypt', cost_log2: 10, cipher: 'aes-256-gcm', bytes: 21 });
  });

  it('costs a guess 128 MiB, and is another file each time', async () => {
    const [one, other] = [await sealWithPassphrase(CONTENT, PASSPHRASE, { kind: KIND, now: 0 }), await sealed()];
    expect(secondLine(one)).toMatchObject({ cost_log2: 17, block: 8 });
    expect(secondLine(one).salt).not.toBe(secondLine(other).salt);
  });

  it('opens for the same letters, however they were typed', async () => {
    expect(await opened(await sealed(), new Secret(PASSPHRASE.reveal().normalize('NFD')))).toEqual(CONTENT);
  });

  it('tells another passphrase from a file that is not what it was', async () => {
    const file = await sealed();
    await expect(opened(file, new Secret('SEKRET-marker-another'))).rejects.toEqual(refusedAs('passphrase'));
    for (let at = file.length - CONTENT.length - 16; at < file.length; at++) {
      const changed = Buffer.from(file);
      changed[at] = (changed[at] as number) ^ 1;
      await expect(opened(changed)).rejects.toEqual(refusedAs('altered'));
    }
  });

  it('every byte of its two lines is bound to it', async () => {
    const file = await sealed();
    const lines = file.length - CONTENT.length - 16;
    for (let at = 0; at < lines; at += 3) {
      const changed = Buffer.from(file);
      changed[at] = (changed[at] as number) ^ 1;
      await expect(opened(changed)).rejects.toMatchObject({ code: 'sealed_file_refused' });
    }
    // What says nothing about how to open it is bound as well.
    await expect(opened(withHead(file, { made_at: '2001-01-01T00:00:00.000Z' }))).rejects.toEqual(refusedAs('altered'));
  });

  it('one that is cut short says so, wherever it was cut', async () => {
    const file = await sealed();
    for (const length of [0, 5, 14, 15, 40, file.length - 40, file.length - 1])
      await expect(opened(file.subarray(0, length))).rejects.toEqual(refusedAs('truncated'));
    await expect(opened(Buffer.concat([file, Buffer.of(0)]))).rejects.toEqual(refusedAs('altered'));
  });

  it('one of a newer alterd, of another kind, or of something else says so', async () => {
    const file = await sealed();
    const newer = Buffer.from(file.toString('latin1').replace('alterd-sealed 1', 'alterd-sealed 2'), 'latin1');
    await expect(opened(newer)).rejects.toEqual(refusedAs('newer_format'));
    await expect(openWithPassphrase(file, PASSPHRASE, 'other 1')).rejects.toEqual(refusedAs('not_a_file'));
    await expect(opened(Buffer.from('PK\u0003\u0004 something else altogether\n'))).rejects.toEqual(refusedAs('not_a_file'));
  });

  it('makes its reader spend no more than it may', async () => {
    const file = await sealed();
    for (const change of [{ cost_log2: 30 }, { block: 1024 }, { cost_log2: 'x' }, { kdf: 'none' }, { bytes: -1 }, { salt: '' }])
      await expect(opened(withHead(file, change))).rejects.toEqual(refusedAs('altered'));
  });
});
