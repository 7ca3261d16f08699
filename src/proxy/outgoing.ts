/**
 * Which fields of a message travel on. Hop-by-hop fields, those that `Connection` nominates, and what tells who asked stay
 * behind; everything else keeps its order, case and duplicates. Pure.
 */

import { foldName } from '../injection/field-name.ts';
import { HeaderKind } from './header-kinds.ts';
import type { Framing } from './http1/framing.ts';
import { type AnyFields, listTokens, type ResponseHead } from './http1/head.ts';
import { blockOf, fieldLines, type HeaderBlock } from './http1/serialize.ts';
import type { AgentRequest } from './message.ts';

/** One bit for each kind. */
const bits = (kinds: readonly HeaderKind[]): number => kinds.reduce<number>((set, kind) => set | (1 << kind), 0);

const DROPPED_FROM_REQUEST = bits([
  HeaderKind.host,
  HeaderKind.contentLength,
  HeaderKind.transferEncoding,
  HeaderKind.connection,
  HeaderKind.keepAlive,
  HeaderKind.hop,
  HeaderKind.upgrade,
  HeaderKind.te,
  // SECURITY: the agent's key must never reach an origin (S-41).
  HeaderKind.proxyAuthorization,
  HeaderKind.platform,
  HeaderKind.selector,
]);

const DROPPED_FROM_RESPONSE = bits([
  HeaderKind.connection,
  HeaderKind.keepAlive,
  HeaderKind.transferEncoding,
  HeaderKind.hop,
  HeaderKind.upgrade,
  HeaderKind.te,
  // SECURITY: HTTP/3 would go round the proxy over UDP (S-31).
  HeaderKind.altSvc,
  // SECURITY: an origin must not be able to speak in alterd's name (Alter-Error).
  HeaderKind.selector,
]);

/** Names in `Connection` that are not about the connection itself; lower case. */
function nominated(fields: AnyFields): string[] | null {
  if ((fields.present & (1 << HeaderKind.connection)) === 0) return null;
  const names = listTokens(fields, HeaderKind.connection).filter((t) => t !== 'close' && t !== 'keep-alive' && t !== 'upgrade');
  return names.length === 0 ? null : names;
}

/** The agent's own fields that may go to the origin, before anything is injected (S-38). */
export function outgoingHeaders(request: AgentRequest): string[] {
  const out: string[] = [];
  const { headers, kinds } = request;
  const drop = nominated(request);
  for (let i = 0; i < kinds.length; i++) {
    const kind = kinds[i] as HeaderKind;
    const name = headers[2 * i] as string;
    const value = headers[2 * i + 1] as string;
    if (kind !== HeaderKind.endToEnd) {
      if (kind === HeaderKind.te) {
        // The one member of TE that travels: gRPC asks for trailers with it.
        if (/(^|,)\s*trailers\s*(,|$)/i.test(value)) out.push(name, 'trailers');
        continue;
      }
      if (kind === HeaderKind.expect && (request.protocol === 'HTTP/1.0' || value.toLowerCase() !== '100-continue')) continue;
      if (kind === HeaderKind.trailer && request.framing.kind !== 'chunked') continue;
      if ((DROPPED_FROM_REQUEST & (1 << kind)) !== 0) continue;
    }
    if (drop?.includes(name.toLowerCase()) === true) continue;
    out.push(name, value);
  }
  return out;
}

/** Which of the origin's fields may go to the agent. Content-Length stays only where it is true. */
function keepsInAnswer(fields: AnyFields, framing: Framing, keepLength: boolean): (index: number) => boolean {
  const drop = nominated(fields);
  const lengthStays = framing.kind === 'length' || (framing.kind === 'none' && keepLength);
  return (index) => {
    const kind = fields.kinds[index] as HeaderKind;
    if (kind !== HeaderKind.endToEnd) {
      if ((DROPPED_FROM_RESPONSE & (1 << kind)) !== 0) return false;
      if (kind === HeaderKind.contentLength && !lengthStays) return false;
    }
    return drop === null || !drop.includes((fields.headers[2 * index] as string).toLowerCase());
  };
}

/** The origin's fields that may go to the agent, as a flat list. */
export function answerHeaders(fields: AnyFields, framing: Framing, keepLength: boolean): string[] {
  const keeps = keepsInAnswer(fields, framing, keepLength);
  const out: string[] = [];
  for (let i = 0; i < fields.kinds.length; i++)
    if (keeps(i)) out.push(fields.headers[2 * i] as string, fields.headers[2 * i + 1] as string);
  return out;
}

class AnswerBlock implements HeaderBlock {
  readonly #head: ResponseHead;
  readonly #framing: Framing;
  readonly #keepLength: boolean;
  readonly #extra: readonly string[];

  constructor(head: ResponseHead, framing: Framing, keepLength: boolean, extra: readonly string[]) {
    this.#head = head;
    this.#framing = framing;
    this.#keepLength = keepLength;
    this.#extra = extra;
  }

  get list(): readonly string[] {
    return [...answerHeaders(this.#head, this.#framing, this.#keepLength), ...this.#extra];
  }

  get text(): string {
    const lines = this.#head.lines?.(keepsInAnswer(this.#head, this.#framing, this.#keepLength)) ?? '';
    return this.#extra.length === 0 ? lines : lines + fieldLines(this.#extra);
  }
}

/** The same, as a block that becomes text or a list as the agent's protocol wants it. `extra` is a flat list of ours. */
export function answerBlock(head: ResponseHead, framing: Framing, keepLength: boolean, extra: readonly string[]): HeaderBlock {
  return head.lines === null
    ? blockOf([...answerHeaders(head, framing, keepLength), ...extra])
    : new AnswerBlock(head, framing, keepLength, extra);
}

// RFC 9110 6.5.1: what frames, routes, authenticates or describes a message may not come as a trailer (S-37).
const FORBIDDEN_TRAILER =
  /^(authorization|proxy-.*|cookie|set-cookie|host|content-.*|transfer-encoding|te|trailer|connection|keep-alive|upgrade|http2-settings|expect|range|if-.*|cache-control|max-forwards|pragma|x-api-key|x-forwarded-.*|forwarded|via|alter-.*|x-alter-.*|www-authenticate|location|age|date|expires|vary|retry-after)$/i;

/** Trailers that may travel; `injected` are lower-case names that alterd set and nobody may add to. */
export function outgoingTrailers(trailers: readonly string[], injected: ReadonlySet<string>): string[] {
  const out: string[] = [];
  for (let i = 0; i < trailers.length; i += 2) {
    const name = trailers[i] as string;
    // SECURITY: CGI and its heirs read `Authorization_` and `X_API_KEY` as the names that they look like (S-37, S-39).
    const read = foldName(name).replace(/^-+|-+$/g, '');
    if (FORBIDDEN_TRAILER.test(read) || injected.has(read)) continue;
    out.push(name, trailers[i + 1] as string);
  }
  return out;
}
