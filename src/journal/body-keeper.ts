/**
 * Puts the bodies of an exchange into the segment in front of the closing of its row, in the same write, so that there is never one
 * without the other. SECURITY: rows come first. Where a body would take up what rows need, or the journal is behind, it is left out and
 * its row says so; nothing here may refuse a request or keep a row from being written.
 */
import type { KeyObject } from 'node:crypto';
import type { BodyDrop, BodyMark, CapturedBodies, StoredBodies } from '../domain/audit-body.ts';
import { AlterError } from '../domain/errors.ts';
import type { Appender } from './append.ts';
import { digestOf, openBodies, sealBodies } from './body-record.ts';
import { linePrefix, MAX_PREFIX_CHARS } from './record.ts';

/** What a mark adds to the text of a row, at most. */
const MARK_CHARS = 160;

export class BodyKeeper {
  readonly #key: KeyObject;
  readonly #append: Appender;
  readonly #maxBytes: number;
  #usedBytes: number;

  /** @param usedBytes what is stored already */
  constructor(key: KeyObject, append: Appender, maxBytes: number, usedBytes: number) {
    this.#key = key;
    this.#append = append;
    this.#maxBytes = maxBytes;
    this.#usedBytes = usedBytes;
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Retention has removed this much. */
  freed(bytes: number): void {
    this.#usedBytes = Math.max(0, this.#usedBytes - bytes);
  }

  /** Call it right before the closing, of about so many characters, is appended. Answers what the row is to say; null for nothing. Never throws. */
  keep(requestId: string, requestNo: number, textLength: number, captured: CapturedBodies): BodyMark | null {
    const { request, response, dropped } = captured;
    if (request === null && response === null) return dropped === null ? null : droppedMark(dropped);
    let sealed: Buffer;
    try {
      sealed = sealBodies(this.#key, requestId, captured);
    } catch {
      return droppedMark('failed');
    }
    if (this.#usedBytes + sealed.length > this.#maxBytes) return droppedMark('full');
    const needed = sealed.length + textLength + MARK_CHARS + 2 * MAX_PREFIX_CHARS;
    if (!this.#append.makeSpareRoom(needed)) return droppedMark('behind');
    const prefix = linePrefix('B', sealed.length, requestNo, 0, 0);
    this.#append.appendUnawaited(prefix, sealed.toString('latin1'), '\n', 0);
    this.#usedBytes += sealed.length;
    const bodies = request === null ? 'response' : response === null ? 'request' : 'both';
    return { bodies, body_digest: digestOf(sealed), body_dropped: dropped };
  }

  /** What is stored, for a row that says so. @throws AlterError conflict, vault_unavailable */
  open(requestId: string, digest: string | null, sealed: Uint8Array | null): StoredBodies | null {
    if (digest === null) return null;
    // SECURITY: only what the chain speaks of is shown as what was sent.
    if (sealed === null || digestOf(sealed) !== digest)
      throw new AlterError('conflict', {
        reason: `The bodies beside ${requestId} are not as they were written`,
        hint: 'See what else was changed: `alterd audit verify`.',
      });
    return openBodies(this.#key, requestId, sealed);
  }
}

const droppedMark = (body_dropped: BodyDrop): BodyMark => ({ bodies: null, body_digest: null, body_dropped });
