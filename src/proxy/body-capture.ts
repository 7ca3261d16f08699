/**
 * What is kept of the bodies of one exchange whose grant asks for it: the beginning of the request as the agent sent it, and the
 * beginning of the answer as the agent got it, behind everything that searches it. Bounded whatever passes.
 * Must never hold up, change or end an exchange. SECURITY: what is collected here is not redacted yet: it goes to the journal alone.
 */
import type { BodyDrop, CapturedBodies, CapturedBody } from '../domain/audit-body.ts';
import type { Grant } from '../domain/grant.ts';
import { decodeStart } from '../scrub/decode-start.ts';
import { type Coding, codingOf } from '../scrub/decoder.ts';
import type { AnswerGuard } from './answer-guard.ts';
import { findHeader } from './header-kinds.ts';
import type { ResponseHead } from './http1/head.ts';
import type { AgentRequest, BodySink } from './message.ts';

/** Collects the first bytes of a body and counts the rest. */
export class BodyTap {
  /** All that passed. */
  length = 0;
  readonly limitBytes: number;
  readonly #parts: Buffer[] = [];
  #keptBytes = 0;

  constructor(limitBytes: number) {
    this.limitBytes = limitBytes;
  }

  /** Copies: the slice may be overwritten, or masked in place. */
  add(slice: Buffer): void {
    this.length += slice.length;
    const room = this.limitBytes - this.#keptBytes;
    if (room <= 0 || slice.length === 0) return;
    const part = Buffer.from(slice.length > room ? slice.subarray(0, room) : slice);
    this.#parts.push(part);
    this.#keptBytes += part.length;
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

/** A body that is collected on its way to where it goes. */
class TappedBody implements BodySink {
  readonly #tap: BodyTap;
  readonly #next: BodySink;

  constructor(tap: BodyTap, next: BodySink) {
    this.#tap = tap;
    this.#next = next;
  }

  write(slice: Buffer, shared: boolean): boolean {
    this.#tap.add(slice);
    return this.#next.write(slice, shared);
  }

  flush(): void {
    this.#next.flush();
  }

  end(trailers: readonly string[]): void {
    this.#next.end(trailers);
  }

  abort(): void {
    this.#next.abort();
  }
}

interface Said {
  readonly contentType: string | null;
  /** null: in a coding that can't be read. */
  readonly coding: Coding | 'identity' | null;
}

export class BodyCapture {
  readonly #request: BodyTap | null;
  readonly #said: Said;
  readonly #placeholders: ReadonlySet<string>;
  readonly #limitBytes: number;
  #response: BodyTap | null;
  #answered: Said | null = null;
  #guard: AnswerGuard | null;
  #dropped: BodyDrop | null = null;

  constructor(grant: Grant, request: AgentRequest, guard: AnswerGuard | null, placeholders: ReadonlySet<string>) {
    const { auditBodies, auditBodyBytes } = grant;
    this.#limitBytes = auditBodyBytes;
    this.#request = auditBodies === 'request' || auditBodies === 'both' ? new BodyTap(auditBodyBytes) : null;
    this.#response = auditBodies === 'response' || auditBodies === 'both' ? new BodyTap(auditBodyBytes) : null;
    this.#said = saidBy(request.headers);
    this.#guard = guard;
    this.#placeholders = placeholders;
  }

  /** In front of where the agent's body goes: before a signature becomes part of it. */
  tapRequest(next: BodySink): BodySink {
    return this.#request === null ? next : new TappedBody(this.#request, next);
  }

  /** The head of the answer as the agent gets it. `isSearched`: its body passes what masks the credential. */
  tapAnswer(head: ResponseHead, guard: AnswerGuard | null, isSearched: boolean): BodyTap | null {
    this.#guard = guard;
    if (this.#response === null) return null;
    if (!isSearched) {
      // SECURITY: an answer that nobody looked through may repeat the credential.
      if (guard?.searches !== true) this.#dropped = 'unsearched';
      this.#response = null;
      return null;
    }
    this.#answered = saidBy(head.headers);
    return this.#response;
  }

  /** What was collected, when the exchange is over. Never throws. */
  take(): CapturedBodies {
    const placeholders = this.#placeholders;
    try {
      const request = this.#bodyOf(this.#request, this.#said, true);
      const response = this.#answered === null ? null : this.#bodyOf(this.#response, this.#answered, false);
      return { request, response, dropped: this.#dropped, placeholders };
    } catch {
      return { request: null, response: null, dropped: 'failed', placeholders };
    }
  }

  #bodyOf(tap: BodyTap | null, { contentType, coding }: Said, isRequest: boolean): CapturedBody | null {
    if (tap === null || tap.length === 0) return null;
    const { length } = tap;
    const wire = tap.bytes;
    // SECURITY: what can't be read can't be redacted.
    const plain = coding === null ? null : plainOf(wire, coding, this.#limitBytes);
    if (plain === null) {
      this.#dropped = 'coded';
      return null;
    }
    const truncated = length > wire.length || (coding !== 'identity' && plain.length >= this.#limitBytes);
    // An agent that was given the secret some other way must not bring it into the journal.
    const bytes = isRequest ? (this.#guard?.masked(plain, !truncated) ?? plain) : plain;
    return { bytes, length, truncated, contentType, coding: coding === 'identity' ? null : coding };
  }
}

/** null where nothing is to be kept. */
export function captureOf(
  grant: Grant | null,
  request: AgentRequest,
  guard: AnswerGuard | null,
  placeholders: ReadonlySet<string>,
): BodyCapture | null {
  return grant === null || grant.auditBodies === 'none' ? null : new BodyCapture(grant, request, guard, placeholders);
}

function saidBy(headers: readonly string[]): Said {
  const contentType = findHeader(headers, 'content-type');
  // Messages of gRPC have a coding of their own.
  const inside = contentType?.startsWith('application/grpc') ? findHeader(headers, 'grpc-encoding') : null;
  const coding = inside === null || inside === 'identity' ? codingOf(allOf(headers, 'content-encoding')) : null;
  return { contentType, coding };
}

const allOf = (headers: readonly string[], name: string): string =>
  headers.filter((_text, i) => i % 2 === 1 && headers[i - 1]?.toLowerCase() === name).join(', ');

function plainOf(bytes: Buffer, coding: Coding | 'identity', limitBytes: number): Buffer | null {
  if (coding === 'identity') return bytes;
  try {
    return decodeStart(coding, bytes, limitBytes);
  } catch {
    return null;
  }
}
