/**
 * Seals bytes to the public key of one host, and opens them there: HPKE (RFC 9180) in base mode, DHKEM(P-256, HKDF-SHA256), HKDF-SHA256,
 * AES-256-GCM. Each value has its own encapsulated key and is bound to what `info` and `aad` say of it. The only home of the library,
 * which is loaded with the first host: a daemon with a vault of its own never needs it.
 */
import { createECDH, createHmac, createPublicKey, webcrypto } from 'node:crypto';
import type * as Library from '@hpke/core';
import type { CipherSuite } from '@hpke/core';
import { AlterError } from '../domain/errors.ts';

/** Both parts as base64url. */
export interface Sealed {
  readonly enc: string;
  readonly ciphertext: string;
}

export interface SealingKeyPair {
  /** The uncompressed point, 65 bytes. */
  readonly publicKey: Buffer;
  /** The scalar, 32 bytes. */
  readonly privateKey: Buffer;
}

/** What a value belongs to: opening it as anything else fails. */
export interface HpkeContext {
  readonly info: string;
  readonly aad: Uint8Array;
}

const POINT_BYTES = 65;
const CURVE = 'prime256v1';

let loading: Promise<CipherSuite> | undefined;

async function suite(): Promise<CipherSuite> {
  loading ??= import('@hpke/core').then((library) => {
    const { Hkdf, Dhkem } = atOnce(library);
    return new library.CipherSuite({ kem: new Dhkem(), kdf: new Hkdf(), aead: new library.Aes256Gcm() });
  });
  return loading;
}

/**
 * The parts of the library that take the most trips to a thread for a few hundred bytes, with primitives of OpenSSL that answer at once:
 * they were four fifths of what it costs to lend a secret. What they compute is the same, which the vectors and each `open` show.
 */
function atOnce({ DhkemP256HkdfSha256, HkdfSha256 }: typeof Library) {
  /** RFC 5869. */
  class Hkdf extends HkdfSha256 {
    override async extract(salt: Bytes, ikm: Bytes): Promise<ArrayBuffer> {
      return bytesOf(hmac(viewOf(salt), viewOf(ikm)));
    }

    override async expand(prk: Bytes, info: Bytes, length: number): Promise<ArrayBuffer> {
      const okm = new Uint8Array(length);
      let block: Uint8Array = new Uint8Array(0);
      for (let done = 0, n = 1; done < length; done += block.length, n++) {
        block = hmac(viewOf(prk), block, viewOf(info), Uint8Array.of(n));
        okm.set(block.subarray(0, length - done), done);
      }
      return okm.buffer;
    }
  }

  /** RFC 9180, 4.1, without authentication of the sender: who lends signs nothing, the connection says who it is. */
  class Dhkem extends DhkemP256HkdfSha256 {
    readonly #kdf = new Hkdf();
    readonly #points = new WeakMap<object, Uint8Array>();

    constructor() {
      super();
      this.#kdf.init(Uint8Array.of(...Buffer.from('KEM'), this.id >> 8, this.id & 255));
    }

    override async deserializePublicKey(point: Bytes): Promise<webcrypto.CryptoKey> {
      const key = await super.deserializePublicKey(point);
      this.#points.set(key, Uint8Array.from(viewOf(point)));
      return key;
    }

    override async encap(params: Parameters<InstanceType<typeof DhkemP256HkdfSha256>['encap']>[0]) {
      const point = this.#points.get(params.recipientPublicKey);
      if (point === undefined || params.senderKey !== undefined || params.ekm !== undefined) return super.encap(params);
      const ephemeral = createECDH(CURVE);
      const enc = Uint8Array.from(ephemeral.generateKeys());
      const shared = ephemeral.computeSecret(point);
      const ikm = this.#kdf.buildLabeledIkm(Buffer.from('eae_prk'), shared);
      const context = Uint8Array.from(Buffer.concat([enc, point]));
      const info = this.#kdf.buildLabeledInfo(Buffer.from('shared_secret'), context, this.secretSize);
      const sharedSecret = await this.#kdf.expand(await this.#kdf.extract(new Uint8Array(0), ikm), info, this.secretSize);
      shared.fill(0);
      ikm.fill(0);
      return { enc: enc.buffer, sharedSecret };
    }
  }
  return { Hkdf, Dhkem };
}

type Bytes = ArrayBufferLike | ArrayBufferView;

const viewOf = (bytes: Bytes): Uint8Array =>
  ArrayBuffer.isView(bytes) ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength) : new Uint8Array(bytes);

/** An empty key is the same as one of zeros: HMAC fills it up. */
function hmac(key: Uint8Array, ...parts: readonly Uint8Array[]): Buffer {
  const mac = createHmac('sha256', key);
  for (const part of parts) mac.update(part);
  return mac.digest();
}

/** A new pair for a host. */
export function mintSealingKeys(): SealingKeyPair {
  const pair = createECDH(CURVE);
  pair.generateKeys();
  const scalar = pair.getPrivateKey();
  // A leading zero byte of the scalar is not written.
  return { publicKey: pair.getPublicKey(), privateKey: Buffer.concat([Buffer.alloc(32 - scalar.length), scalar]) };
}

/** One host, to whom values are sealed: its key is read once. */
export class HostSealer {
  readonly #key: Promise<webcrypto.CryptoKey>;

  /** @param publicKey the uncompressed point. @throws AlterError invalid_input when it is no point of the curve */
  constructor(publicKey: Uint8Array) {
    requirePoint(publicKey);
    this.#key = suite().then((each) => each.kem.deserializePublicKey(bytesOf(publicKey)));
    this.#key.catch(() => {});
  }

  async seal(plaintext: Uint8Array, { info, aad }: HpkeContext): Promise<Sealed> {
    const params = { recipientPublicKey: await this.#key, info: bytesOf(Buffer.from(info)) };
    const { enc, ct } = await (await suite()).seal(params, bytesOf(plaintext), bytesOf(aad));
    return { enc: Buffer.from(enc).toString('base64url'), ciphertext: Buffer.from(ct).toString('base64url') };
  }
}

/** The host's own side. */
export class HostOpener {
  readonly #key: Promise<webcrypto.CryptoKeyPair>;

  constructor({ publicKey, privateKey }: SealingKeyPair) {
    requirePoint(publicKey);
    const jwk = { ...publicJwk(publicKey), ext: false, d: Buffer.from(privateKey).toString('base64url') };
    const algorithm = { name: 'ECDH', namedCurve: 'P-256' };
    // Both halves: from a private key that can't be exported the library would have to guess the sign of the public one.
    this.#key = Promise.all([
      webcrypto.subtle.importKey('jwk', jwk, algorithm, false, ['deriveBits']),
      webcrypto.subtle.importKey('jwk', publicJwk(publicKey), algorithm, true, []),
    ]).then(([priv, pub]) => ({ privateKey: priv, publicKey: pub }));
    this.#key.catch(() => {});
  }

  /** What was sealed to this host in this context; the caller zeroes it. @throws AlterError vault_unavailable */
  async open({ enc, ciphertext }: Sealed, { info, aad }: HpkeContext): Promise<Buffer> {
    try {
      const params = {
        recipientKey: await this.#key,
        enc: bytesOf(Buffer.from(enc, 'base64url')),
        info: bytesOf(Buffer.from(info)),
      };
      const opened = await (await suite()).open(params, bytesOf(Buffer.from(ciphertext, 'base64url')), bytesOf(aad));
      return Buffer.from(opened);
    } catch (cause) {
      throw new AlterError(
        'vault_unavailable',
        { reason: 'what it sealed does not open with the keys of this host' },
        { cause, hint: 'Was the host enrolled anew, or re-keyed elsewhere? `alterd status`, then enroll it again.' },
      );
    }
  }
}

function requirePoint(publicKey: Uint8Array): void {
  try {
    if (publicKey.length !== POINT_BYTES || publicKey[0] !== 4) throw new Error('not an uncompressed point');
    // SECURITY: a point that is not on the curve would make what is sealed to it easy to open.
    createPublicKey({ key: publicJwk(publicKey), format: 'jwk' });
  } catch (cause) {
    throw new AlterError('invalid_input', { problems: ['sealing_key: must be a point of P-256, uncompressed'] }, { cause });
  }
}

const publicJwk = (point: Uint8Array): { readonly kty: 'EC'; readonly crv: 'P-256'; readonly x: string; readonly y: string } => ({
  kty: 'EC',
  crv: 'P-256',
  x: Buffer.from(point.subarray(1, 33)).toString('base64url'),
  y: Buffer.from(point.subarray(33)).toString('base64url'),
});

const bytesOf = (bytes: Uint8Array): ArrayBuffer => Uint8Array.from(bytes).buffer;
