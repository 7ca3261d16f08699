/**
 * What stands between the opening of a row and its closing: it resolves once the opening is durable, and writes the closing, with what is
 * kept of the bodies in front of it. Must never throw at a closing: what it tells of has happened.
 */
import type { AuditClosing, AuditOpening, AuditTicket } from '../domain/audit.ts';
import type { BodyMark } from '../domain/audit-body.ts';
import type { AlterError } from '../domain/errors.ts';
import type { Appender, Waiter } from './append.ts';
import type { BodyKeeper } from './body-keeper.ts';
import { closedEnd } from './entry-text.ts';
import { linePrefix, MAX_PREFIX_CHARS } from './record.ts';

/** `mark`: what the row says of bodies. */
export type EntryObserver = (opening: AuditOpening, closing: AuditClosing, mark: BodyMark | null) => void;

/** What a closing usually adds to the text of its opening, with a frame of its own. */
export const CLOSING_BYTES = 320;

/** One opening on its way to its closing. */
export class Ticket implements AuditTicket, Waiter {
  readonly requestId: string;
  readonly #write: Appender;
  readonly #requestNo: number;
  readonly #opening: AuditOpening;
  readonly #text: string;
  readonly #resolve: (ticket: AuditTicket) => void;
  readonly #onEntry: EntryObserver | undefined;
  readonly refused: (error: AlterError) => void;
  readonly #bodies: BodyKeeper | null;
  #closed = false;

  constructor(
    requestId: string,
    requestNo: number,
    opening: AuditOpening,
    text: string,
    write: Appender,
    resolve: (ticket: AuditTicket) => void,
    reject: (error: AlterError) => void,
    onEntry: EntryObserver | undefined,
    bodies: BodyKeeper | null,
  ) {
    this.#bodies = bodies;
    this.#onEntry = onEntry;
    this.requestId = requestId;
    this.#requestNo = requestNo;
    this.#opening = opening;
    this.#text = text;
    this.#write = write;
    this.#resolve = resolve;
    this.refused = reject;
  }

  written(): void {
    this.#resolve(this);
  }

  close(closing: AuditClosing): void {
    if (this.#closed) return;
    this.#closed = true;
    const closedAt = Date.now();
    const { at, error } = this.#opening;
    const text = this.#text;
    const { captured } = closing;
    const mark =
      captured && this.#bodies !== null
        ? this.#bodies.keep(this.requestId, this.#requestNo, text.length + CLOSING_BYTES, captured)
        : null;
    let end = closedEnd(error, closing, closedAt, mark);
    if (text.length + end.length + MAX_PREFIX_CHARS >= this.#write.maxLineBytes)
      end = closedEnd(null, { ...closing, error: null, policy_error: null }, closedAt, mark);
    const prefix = linePrefix('C', text.length + end.length, this.#requestNo, at, closedAt);
    this.#write.appendUnawaited(prefix, text, `${end}\n`, text.length + CLOSING_BYTES);
    this.#onEntry?.(this.#opening, closing, mark);
  }
}
