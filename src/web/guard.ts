/**
 * Who may ask the page listener for what: the checks that stand before every route, and the headers on every answer. Pure.
 * SECURITY: any page of the internet can make a browser send requests here. There are no cookies, so nothing it sends carries rights of its
 * own; and a request is answered only under the name that alterd gave itself, with JSON only for its own page (S-78).
 */
import type { IncomingHttpHeaders } from 'node:http';

/** How a request is refused, before any route sees it; undefined when it may pass. */
export interface Rebuff {
  readonly status: number;
  readonly error: string;
  readonly message: string;
}

export interface GuardedRequest {
  readonly method: string;
  readonly headers: IncomingHttpHeaders;
  /** True for what the page's own script asks; false for pages and their files. */
  readonly isScripted: boolean;
}

const BODY_MAX_BYTES = 16 * 1024;

/** @param publicOrigin the only origin under which this listener is reached. */
export function rebuffOf({ method, headers, isScripted }: GuardedRequest, publicOrigin: string): Rebuff | undefined {
  const host = (headers.host ?? '').toLowerCase();
  // SECURITY: a name that was rebound to this address would make a foreign page same-origin with this one.
  if (host !== new URL(publicOrigin).host && host !== withDefaultPort(publicOrigin))
    return rebuff(403, 'host_refused', 'This address is served under another name.');
  if (!isScripted) {
    if (method !== 'GET' && method !== 'HEAD') return rebuff(405, 'method_refused', 'Only GET is answered here.');
    // SECURITY: in a frame, a page that lies over this one could take the person's clicks; frame-ancestors says so too.
    if (/^(i?frame|embed|object|fencedframe)$/.test(one(headers['sec-fetch-dest'])))
      return rebuff(403, 'frame_refused', 'This page is not shown inside another page.');
    return undefined;
  }
  if (method !== 'POST') return rebuff(405, 'method_refused', 'Only POST is answered here.');
  // SECURITY: only this page's own script; "null" and a missing origin are foreign too.
  if (headers.origin !== publicOrigin) return rebuff(403, 'origin_refused', 'Requests of other pages are refused.');
  const site = one(headers['sec-fetch-site']);
  if (site !== '' && site !== 'same-origin') return rebuff(403, 'origin_refused', 'Requests of other pages are refused.');
  // SECURITY: the three types that a form can send reach no route, whatever it says of its origin.
  if (!/^application\/json\s*(;|$)/i.test(headers['content-type'] ?? ''))
    return rebuff(415, 'malformed_request', 'The body must be application/json.');
  if (Number(headers['content-length'] ?? '0') > BODY_MAX_BYTES)
    return rebuff(413, 'request_too_large', 'The body is too large.');
  return undefined;
}

/**
 * On every answer. Referrer, cache, frame and sniffing leave nothing to a browser's default.
 * The opener policy is "unsafe-none" and not left out: the page that opened the popup must be able to hear the result, and what it hears is
 * addressed to one origin.
 */
export const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
  'referrer-policy': 'no-referrer',
  'x-frame-options': 'DENY',
  'x-content-type-options': 'nosniff',
  'cache-control': 'no-store',
  'cross-origin-opener-policy': 'unsafe-none',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), geolocation=(), microphone=(), payment=(), usb=()',
  'x-robots-tag': 'noindex, nofollow',
};

const one = (value: string | string[] | undefined): string => (typeof value === 'string' ? value : '');
const rebuff = (status: number, error: string, message: string): Rebuff => ({ status, error, message });

/** Some clients write the default port out. */
function withDefaultPort(origin: string): string {
  const url = new URL(origin);
  return url.port === '' ? `${url.hostname}:${url.protocol === 'https:' ? 443 : 80}` : url.host;
}

/** The body as a flat object, read while it is counted; null when it is none. */
export async function readJsonBody(request: AsyncIterable<Uint8Array>): Promise<Readonly<Record<string, unknown>> | null> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of request) {
    bytes += part.byteLength;
    if (bytes > BODY_MAX_BYTES) return null;
    parts.push(part);
  }
  try {
    const value: unknown = JSON.parse(Buffer.concat(parts).toString('utf8'));
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}
