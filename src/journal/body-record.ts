/**
 * The bodies of one exchange as they are stored: redacted, in one piece, sealed for their row alone. The row's text holds a digest of
 * the sealed bytes, so the chain shows a body that was changed, exchanged or taken away, and says nothing of what is in it.
 * SECURITY: nothing of a body is written but what leaves `sealBodies`.
 */
import { createHash, createSecretKey, hkdfSync, type KeyObject } from 'node:crypto';
import { openBytes, type SealContext, sealBytes } from '../crypto/seal.ts';
import type { CapturedBodies, CapturedBody, StoredBodies, StoredBody } from '../domain/audit-body.ts';
import { redactBody } from './redaction.ts';

const NEWLINE = 0x0a;
const KEY_BYTES = 32;

interface Part {
  readonly length: number;
  readonly kept: number;
  readonly truncated: boolean;
  readonly redacted: number;
  readonly type: string | null;
  readonly coding: string | null;
}

interface Head {
  readonly request: Part | null;
  readonly response: Part | null;
}

const contextOf = (requestId: string): SealContext => ({ table: 'audit_bodies', rowId: requestId, version: 1 });

/** The key of an installation's bodies, from the key that signs its checkpoints, which the master key seals: both last as long. */
export function bodyKeyOf(signingKey: KeyObject): KeyObject {
  const { d } = signingKey.export({ format: 'jwk' });
  const seed = Buffer.from(d ?? '', 'base64url');
  const bytes = Buffer.from(hkdfSync('sha256', seed, Buffer.alloc(0), 'alterd audit bodies 1', KEY_BYTES));
  try {
    return createSecretKey(bytes);
  } finally {
    seed.fill(0);
    bytes.fill(0);
  }
}

export const digestOf = (sealed: Uint8Array): string => createHash('sha256').update(sealed).digest('hex');

/** Redacts and seals. */
export function sealBodies(key: KeyObject, requestId: string, captured: CapturedBodies): Buffer {
  const parts: Buffer[] = [];
  const part = (body: CapturedBody | null): Part | null => {
    if (body === null) return null;
    const { bytes, count } = redactBody(body.bytes, body.contentType, captured.placeholders);
    parts.push(bytes);
    const { length, truncated, contentType, coding } = body;
    return { length, kept: bytes.length, truncated, redacted: count, type: contentType, coding };
  };
  const head: Head = { request: part(captured.request), response: part(captured.response) };
  const text = Buffer.concat([Buffer.from(`${JSON.stringify(head)}\n`), ...parts]);
  try {
    return sealBytes(key, text, contextOf(requestId));
  } finally {
    text.fill(0);
  }
}

/** @throws AlterError vault_unavailable when they are not as they were sealed for this row */
export function openBodies(key: KeyObject, requestId: string, sealed: Uint8Array): StoredBodies {
  const bytes = openBytes(key, sealed, contextOf(requestId));
  const end = bytes.indexOf(NEWLINE);
  const head = JSON.parse(bytes.toString('utf8', 0, end)) as Head;
  let at = end + 1;
  const part = (said: Part | null): StoredBody | null => {
    if (said === null) return null;
    const { length, kept, truncated, redacted, type, coding } = said;
    at += kept;
    return { bytes: bytes.subarray(at - kept, at), length, truncated, redacted, contentType: type, coding };
  };
  return { request: part(head.request), response: part(head.response) };
}
