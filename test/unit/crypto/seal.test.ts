import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MasterKey } from '../../../src/crypto/master-key.ts';
import { mintKey, openBytes, type SealContext, sealBytes, unwrapKey, wrapKey } from '../../../src/crypto/seal.ts';

const HERE: SealContext = { table: 'credentials', rowId: 'row-1', version: 3 };
const VALUE = Buffer.from('SEKRET-marker-seal');

describe('a sealed value', () => {
  const key = mintKey();
  const sealed = sealBytes(key, VALUE, HERE);

  it.each([
    ['another table', { ...HERE, table: 'grants' }],
    ['another row', { ...HERE, rowId: 'row-2' }],
    ['an older version', { ...HERE, version: 2 }],
    ['a newer version', { ...HERE, version: 4 }],
  ])('does not open as %s', (_what, context) => {
    expect(() => openBytes(key, sealed, context)).toThrow(expect.objectContaining({ code: 'vault_unavailable' }));
  });

  it('does not open with another key', () => {
    expect(() => openBytes(mintKey(), sealed, HERE)).toThrow(expect.objectContaining({ code: 'vault_unavailable' }));
  });

  it('does not open when any byte is changed or cut', () => {
    fc.assert(
      fc.property(fc.nat(sealed.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const bad = Buffer.from(sealed);
        bad[at] = bad[at]! ^ flip;
        expect(() => openBytes(key, bad, HERE)).toThrow(expect.objectContaining({ code: 'vault_unavailable' }));
        expect(() => openBytes(key, sealed.subarray(0, at), HERE)).toThrow(
          expect.objectContaining({ code: 'vault_unavailable' }),
        );
      }),
    );
  });

  it('refuses a context that could be read in two ways', () => {
    expect(() => sealBytes(key, VALUE, { table: 'a|b', rowId: 'c', version: 1 })).toThrow(TypeError);
    expect(() => sealBytes(key, VALUE, { table: 'a', rowId: 'b|c', version: 1 })).toThrow(TypeError);
  });

  it('opens in its place, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        expect(openBytes(key, sealBytes(key, bytes, HERE), HERE)).toEqual(Buffer.from(bytes));
      }),
    );
  });

  it('never looks the same twice and never holds the plaintext', () => {
    const again = sealBytes(key, VALUE, HERE);
    expect(again.equals(sealed)).toBe(false);
    expect(sealed.includes(VALUE)).toBe(false);
  });
});

describe('a wrapped data key', () => {
  it('opens only under its own id and wrapping key', () => {
    const wrapping = mintKey();
    const dataKey = mintKey();
    const wrapped = wrapKey(wrapping, 'key-1', dataKey);
    expect(unwrapKey(wrapping, 'key-1', wrapped).equals(dataKey)).toBe(true);
    expect(() => unwrapKey(wrapping, 'key-2', wrapped)).toThrow(expect.objectContaining({ code: 'vault_unavailable' }));
    expect(() => unwrapKey(mintKey(), 'key-1', wrapped)).toThrow(expect.objectContaining({ code: 'vault_unavailable' }));
  });
});

describe('a master key', () => {
  const bytes = (): Buffer => Buffer.from(Array.from({ length: 32 }, (_none, i) => i));

  it('zeroes the bytes that it is made of', () => {
    const given = bytes();
    new MasterKey('file', given);
    expect(given.equals(Buffer.alloc(32))).toBe(true);
  });

  it('has a check value that is its own and says nothing of the key', () => {
    const one = new MasterKey('file', bytes());
    expect(one.checkValue).toBe(new MasterKey('keyring', bytes()).checkValue);
    expect(one.checkValue).not.toBe(new MasterKey('file', bytes().reverse()).checkValue);
    expect(JSON.stringify(one)).not.toContain(bytes().toString('base64url').slice(0, 10));
  });

  it('seals and opens', () => {
    const master = new MasterKey('file', bytes());
    expect(master.open(master.seal(VALUE, HERE), HERE)).toEqual(VALUE);
  });

  it('derives different keys for different purposes', () => {
    const master = new MasterKey('file', bytes());
    expect(master.derive('a').equals(master.derive('b'))).toBe(false);
    expect(master.derive('a').equals(master.derive('a'))).toBe(true);
  });
});
