/**
 * What stands between an origin's answer and the agent when the request went out under a grant: the head, the body and the
 * trailers without the credential in any of its forms (S-58 … S-60), and without the session that it would open (S-63).
 * SECURITY: an answer that can't be searched is refused, not passed on.
 */
import { AlterError } from '../domain/errors.ts';
import { type BodyEvents, DecodedBody, PlainBody, type ScrubbedBody, VerbatimBody } from '../scrub/body.ts';
import { asksFor, type Coding, codingOf, readableCodings } from '../scrub/decoder.ts';
import { agentsValue } from '../scrub/fields.ts';
import type { NeedleSet } from '../scrub/needle-set.ts';
import { Scrubber, scrubText } from '../scrub/scrubber.ts';
import { classifyHeaders, HeaderKind } from './header-kinds.ts';
import type { Framing } from './http1/framing.ts';
import type { ResponseHead } from './http1/head.ts';

export interface GuardParts {
  /** null: no value of the credential is long enough to be told from chance. */
  readonly needles: NeedleSet | null;
  /** Leave out what would give the agent a credential of the provider's own. */
  readonly strips: boolean;
  /** The agent's Accept-Encoding; null when it sent none. */
  readonly acceptEncoding: string | null;
  readonly host: string;
}

const EVERY = (): boolean => true;

/** One for each exchange. */
export class AnswerGuard {
  readonly #parts: GuardParts;
  #found = 0;
  #body: ScrubbedBody | null = null;

  constructor(parts: GuardParts) {
    this.#parts = parts;
  }

  /** How often the credential was found so far. */
  get count(): number {
    return this.#found + (this.#body?.count ?? 0);
  }

  /** True where there is something to search for. */
  get searches(): boolean {
    return this.#parts.needles !== null;
  }

  /** A copy of these bytes without the credential; without an end that may be the beginning of it, unless nothing follows. */
  masked(bytes: Buffer, isWhole: boolean): Buffer {
    const { needles } = this.#parts;
    if (needles === null) return bytes;
    const clean: Buffer[] = [];
    const scrubber = new Scrubber(needles, (slice) => {
      clean.push(Buffer.from(slice));
      return true;
    });
    scrubber.write(Buffer.from(bytes), false);
    if (isWhole) scrubber.end();
    return Buffer.concat(clean);
  }

  /** The head as the agent may have it; the same one when nothing is wrong with it. */
  head(head: ResponseHead): ResponseHead {
    const { needles, strips } = this.#parts;
    const mustStrip = strips && (head.present & (1 << HeaderKind.credential)) !== 0;
    const text = needles === null ? '' : (head.lines?.(EVERY) ?? head.headers.join('\n'));
    if (!mustStrip && (needles === null || (scrubText(needles, text) ?? scrubText(needles, head.reason)) === null)) return head;
    const reason = this.#clean(head.reason);
    const headers = this.#fields(head.headers, mustStrip);
    return { status: head.status, reason, minor: head.minor, headers, ...classifyHeaders(headers), lines: null };
  }

  trailers(list: readonly string[]): readonly string[] {
    return list.length === 0 ? list : this.#fields(list, this.#parts.strips);
  }

  /**
   * Prepares for the body of a head that went through `head`, and answers head and framing as they are to be sent.
   * @throws AlterError upstream_protocol
   */
  open(
    head: ResponseHead,
    framing: Framing,
    events: BodyEvents,
  ): { head: ResponseHead; framing: Framing; body: ScrubbedBody | null } {
    const { needles } = this.#parts;
    if (needles === null || framing.kind === 'none') return { head, framing, body: null };
    const coding = this.#codingOf(head);
    if (coding === null) {
      this.#body = new PlainBody(needles, events);
      return { head, framing, body: this.#body };
    }
    if (!asksFor(this.#parts.acceptEncoding, coding)) {
      this.#body = new VerbatimBody(coding, needles, events);
      return { head, framing, body: this.#body };
    }
    this.#body = new DecodedBody(coding, needles, events);
    return { head: plainHead(head), framing: framing.kind === 'length' ? { kind: 'close' } : framing, body: this.#body };
  }

  /** @throws AlterError upstream_protocol */
  refusal(reason: string): AlterError {
    return new AlterError('upstream_protocol', { host: this.#parts.host, reason });
  }

  /** null for plain bytes. */
  #codingOf(head: ResponseHead): Coding | null {
    if ((head.present & (1 << HeaderKind.contentEncoding)) === 0) return null;
    const value = head.headers.filter((_text, i) => i % 2 === 1 && head.kinds[i >> 1] === HeaderKind.contentEncoding).join(', ');
    const coding = codingOf(value);
    if (coding === 'identity') return null;
    if (coding === null) throw this.refusal('its content coding is not one that alterd can read for secrets');
    // Only the first part of a coded body can be decoded, and nothing says which part this is.
    if (head.status === 206) throw this.refusal('it is a part of a coded answer, which can not be read for secrets');
    return coding;
  }

  #fields(list: readonly string[], strips: boolean): string[] {
    const out: string[] = [];
    for (let i = 0; i < list.length; i += 2) {
      const name = list[i] as string;
      const value = strips ? agentsValue(name, list[i + 1] as string) : (list[i + 1] as string);
      // A name can't be masked and stay a name.
      if (value === null || this.#clean(name) !== name) continue;
      out.push(name, this.#clean(value));
    }
    return out;
  }

  #clean(text: string): string {
    const scrubbed = this.#parts.needles === null ? null : scrubText(this.#parts.needles, text);
    if (scrubbed === null) return text;
    this.#found += scrubbed.count;
    return scrubbed.text;
  }
}

/** These speak of the coded bytes. */
const OF_CODED_BYTES: ReadonlySet<string> = new Set(['content-md5', 'content-digest', 'digest', 'accept-ranges']);

/** The head of an answer that goes on decoded. Its ETag stays: the agent has no other way to the origin that could mix them up. */
function plainHead(head: ResponseHead): ResponseHead {
  const headers: string[] = [];
  for (let i = 0; i < head.kinds.length; i++) {
    const kind = head.kinds[i];
    const name = head.headers[2 * i] as string;
    if (kind === HeaderKind.contentEncoding || kind === HeaderKind.contentLength || OF_CODED_BYTES.has(name.toLowerCase()))
      continue;
    headers.push(name, head.headers[2 * i + 1] as string);
  }
  return { status: head.status, reason: head.reason, minor: head.minor, headers, ...classifyHeaders(headers), lines: null };
}

const ACCEPT_ENCODING = 'accept-encoding';

/**
 * Takes from the outgoing fields the codings that can't be read here, and answers what the agent had asked for; null for nothing.
 * SECURITY: without this, the answer of many a provider would come in a coding that hides the credential.
 */
export function restrictCodings(headers: string[]): string | null {
  let asked: string | null = null;
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] as string;
    if (name.length !== ACCEPT_ENCODING.length || name.toLowerCase() !== ACCEPT_ENCODING) continue;
    const value = headers[i + 1] as string;
    asked = asked === null ? value : `${asked}, ${value}`;
    headers[i + 1] = rememberedCodings(value);
  }
  return asked;
}

const REMEMBERED = 256;
const codings = new Map<string, string>();

/** Clients send the same few values again and again. */
function rememberedCodings(value: string): string {
  let readable = codings.get(value);
  if (readable === undefined) {
    readable = readableCodings(value);
    if (codings.size >= REMEMBERED) codings.clear();
    codings.set(value, readable);
  }
  return readable;
}
