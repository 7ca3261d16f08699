/**
 * Checkpoints: what the installation says, under its own signature, of how far the chain went at a time. They show a cut tail,
 * and a chain that was computed anew by someone who could write every file but had not the key. Pure.
 * The signature is Ed25519 over the bytes of `checkpointText`, so that `openssl pkeyutl -verify -rawin` can check it.
 */
import { createHash, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';

export interface CheckpointFacts {
  /** Mark of the installation, as in its request ids. */
  readonly installation: string;
  /** The last row, and its hash. */
  readonly n: number;
  readonly hash: string;
  /** Epoch milliseconds. */
  readonly at: number;
  /** Rows that the journal held: `n` minus what retention had removed. */
  readonly rows: number;
}

export interface Checkpoint extends CheckpointFacts {
  /** `keyIdOf` the public key. */
  readonly key: string;
  /** Base64. */
  readonly signature: string;
}

/** What is signed: a title and a line for each fact, each with its line feed. */
export function checkpointText({ installation, n, hash, at, rows }: CheckpointFacts): string {
  return `alterd audit checkpoint 1\ninstallation ${installation}\nn ${n}\nhash ${hash}\nat ${at}\nrows ${rows}\n`;
}

/** Names a key: the start of the SHA-256 of its SubjectPublicKeyInfo. */
export function keyIdOf(publicKey: KeyObject): string {
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  return createHash('sha256').update(spki).digest('hex').slice(0, 16);
}

export function signCheckpoint(privateKey: KeyObject, facts: CheckpointFacts): Checkpoint {
  const { installation, n, hash, at, rows } = facts;
  const signature = sign(null, Buffer.from(checkpointText(facts)), privateKey).toString('base64');
  return { installation, n, hash, at, rows, key: keyIdOf(createPublicKey(privateKey)), signature };
}

export function isCheckpointSigned(publicKey: KeyObject, checkpoint: Checkpoint): boolean {
  return verify(null, Buffer.from(checkpointText(checkpoint)), publicKey, Buffer.from(checkpoint.signature, 'base64'));
}

/** One line of JSON without its line feed. */
export function checkpointLineOf({ installation, n, hash, at, rows, key, signature }: Checkpoint): string {
  return JSON.stringify({ kind: 'checkpoint', installation, n, hash, at, rows, key, signature });
}

/** The checkpoint of a line; undefined when it is none. */
export function parseCheckpointLine(line: string): Checkpoint | undefined {
  if (!line.startsWith('{"kind":"checkpoint",')) return undefined;
  let parsed: unknown;
  try {
    parsed = JSON.parse(line);
  } catch {
    return undefined;
  }
  const { installation, n, hash, at, rows, key, signature } = parsed as Record<string, unknown>;
  const isWhole = [n, at, rows].every((value) => Number.isSafeInteger(value) && (value as number) >= 0);
  const isText =
    typeof installation === 'string' && typeof hash === 'string' && typeof key === 'string' && typeof signature === 'string';
  if (!isWhole || !isText || !/^[0-9a-z]{1,16}$/.test(installation) || !/^[0-9a-f]{64}$/.test(hash)) return undefined;
  return { installation, n: n as number, hash, at: at as number, rows: rows as number, key, signature };
}
