/** What is sealed to a host: the published vectors, and that nothing else opens it. */
import { createECDH } from 'node:crypto';
import { Aes128Gcm, Aes256Gcm, CipherSuite, DhkemP256HkdfSha256, HkdfSha256 } from '@hpke/core';
import { describe, expect, test } from 'vitest';
import { HostOpener, HostSealer, mintSealingKeys } from '../../../src/crypto/hpke.ts';

const hex = (text: string): Buffer => Buffer.from(text, 'hex');
const context = (aad: string, info = 'alterd test') => ({ info, aad: Buffer.from(aad) });
const INFO = hex('4f6465206f6e2061204772656369616e2055726e');
const PLAINTEXT = hex('4265617574792069732074727574682c20747275746820626561757479');
const AAD = hex('436f756e742d30');

describe('published vectors', () => {
  test('of this very suite, from the reference file of the RFC: AES-256-GCM', async () => {
    const privateKey = hex('317f915db7bc629c48fe765587897e01e282d3e8445f79f27f65d031a88082b2');
    const pair = createECDH('prime256v1');
    pair.setPrivateKey(privateKey);
    const opener = new HostOpener({ publicKey: pair.getPublicKey(), privateKey });
    const sealed = {
      enc: hex(
        '04c06b4f6bebc7bb495cb797ab753f911aff80aefb86fd8b6fcc35525f3ab5f03e0b21bd31a86c6048af3cb2d98e0d3bf01da5cc4c39ff5370d331a4f1f7d5a4e0',
      ).toString('base64url'),
      ciphertext: hex('58c61a45059d0c5704560e9d88b564a8b63f1364b8d1fcb3c4c6ddc1d291742465e902cd216f8908da49f8f96f').toString(
        'base64url',
      ),
    };
    expect(await opener.open(sealed, { info: INFO.toString(), aad: AAD })).toEqual(PLAINTEXT);
  });

  test('of RFC 9180, A.3.1: the same but AES-128-GCM, by the library that is used', async () => {
    const suite = new CipherSuite({ kem: new DhkemP256HkdfSha256(), kdf: new HkdfSha256(), aead: new Aes128Gcm() });
    const scalar = hex('f3ce7fdae57e1a310d87f1ebbde6f328be0a99cdbcadf4d6589cf29de4b8ffd2');
    const opened = await suite.open(
      {
        recipientKey: await suite.kem.importKey('raw', Uint8Array.from(scalar).buffer, false),
        enc: Uint8Array.from(
          hex(
            '04a92719c6195d5085104f469a8b9814d5838ff72b60501e2c4466e5e67b325ac98536d7b61a1af4b78e5b7f951c0900be863c403ce65c9bfcb9382657222d18c4',
          ),
        ).buffer,
        info: Uint8Array.from(INFO).buffer,
      },
      Uint8Array.from(hex('5ad590bb8baa577f8619db35a36311226a896e7342a6d836d8b7bcd2f20b6c7f9076ac232e3ab2523f39513434')).buffer,
      Uint8Array.from(AAD).buffer,
    );
    expect(Buffer.from(opened)).toEqual(PLAINTEXT);
  });
});

test('what is sealed here opens with the library as it is published', async () => {
  const suite = new CipherSuite({ kem: new DhkemP256HkdfSha256(), kdf: new HkdfSha256(), aead: new Aes256Gcm() });
  const { publicKey, privateKey } = mintSealingKeys();
  const { enc, ciphertext } = await new HostSealer(publicKey).seal(PLAINTEXT, { info: INFO.toString(), aad: AAD });
  const [key, sent, sealed] = [privateKey, Buffer.from(enc, 'base64url'), Buffer.from(ciphertext, 'base64url')];
  const recipientKey = await suite.kem.importKey('raw', Uint8Array.from(key).buffer, false);
  const params = { recipientKey, enc: Uint8Array.from(sent).buffer, info: Uint8Array.from(INFO).buffer };
  const opened = await suite.open(params, Uint8Array.from(sealed).buffer, Uint8Array.from(AAD).buffer);
  expect(Buffer.from(opened)).toEqual(PLAINTEXT);
});

describe('what is sealed', () => {
  const keys = mintSealingKeys();
  const sealer = new HostSealer(keys.publicKey);
  const text = Buffer.from('SEKRET-marker-sealed');

  test('opens for the host, in its context, and is another each time', async () => {
    const [one, two] = await Promise.all([sealer.seal(text, context('a')), sealer.seal(text, context('a'))]);
    expect(one).not.toEqual(two);
    expect(JSON.stringify(one)).not.toContain('SEKRET');
    const opener = new HostOpener(keys);
    expect((await opener.open(one, context('a'))).toString()).toBe('SEKRET-marker-sealed');
    expect((await opener.open(two, context('a'))).toString()).toBe('SEKRET-marker-sealed');
  });

  test.each([
    ['another host', mintSealingKeys(), context('a'), (s: string) => s],
    ['another context', keys, context('b'), (s: string) => s],
    ['another purpose', keys, context('a', 'alterd other'), (s: string) => s],
    ['changed bytes', keys, context('a'), (s: string) => `${s.startsWith('A') ? 'B' : 'A'}${s.slice(1)}`],
    ['cut bytes', keys, context('a'), (s: string) => s.slice(0, 8)],
  ])('does not open for %s', async (_what, pair, where, change) => {
    const sealed = await sealer.seal(text, context('a'));
    await expect(
      new HostOpener(pair).open({ enc: sealed.enc, ciphertext: change(sealed.ciphertext) }, where),
    ).rejects.toMatchObject({ code: 'vault_unavailable' });
  });

  test.each([
    ['nothing', Buffer.alloc(0)],
    ['a compressed point', Buffer.concat([Buffer.of(2), keys.publicKey.subarray(1, 33)])],
    ['a point beside the curve', Buffer.concat([Buffer.of(4), Buffer.alloc(64, 1)])],
    ['infinity', Buffer.of(0)],
  ])('never goes to %s', (_what, point) => {
    expect(() => new HostSealer(point)).toThrow(expect.objectContaining({ code: 'invalid_input' }));
  });
});

test('any pair of keys opens what was sealed to it', async () => {
  for (let i = 0; i < 24; i++) {
    const pair = mintSealingKeys();
    const sealed = await new HostSealer(pair.publicKey).seal(Buffer.from('SEKRET-marker-pair'), context('a'));
    expect((await new HostOpener(pair).open(sealed, context('a'))).toString()).toBe('SEKRET-marker-pair');
  }
});

test('keys have their fixed lengths', () => {
  for (let i = 0; i < 600; i++) {
    const { publicKey, privateKey } = mintSealingKeys();
    expect([publicKey.length, privateKey.length]).toEqual([65, 32]);
  }
});
