/** HTTP/2 field lists as Node gives them and wants them. Must never let Node throw for what an origin or an agent sent. */
import { constants, type Http2Stream, type OutgoingHttpHeaders } from 'node:http2';

/** A flat name/value list without the fields that start with a colon. */
export function flatHeaders(raw: readonly string[]): string[] {
  const headers: string[] = [];
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] as string;
    if (name.charCodeAt(0) !== 58) headers.push(name, raw[i + 1] as string);
  }
  return headers;
}

/** RFC 9113 8.2.3: a client may cut its cookies into fields of their own, which outside HTTP/2 have to be one again. */
export function joinCookies(headers: readonly string[]): readonly string[] {
  let first = -1;
  let out: string[] | null = null;
  for (let i = 0; i < headers.length; i += 2) {
    const isCookie = headers[i] === 'cookie';
    if (!isCookie || first === -1) {
      if (isCookie) first = i;
      out?.push(headers[i] as string, headers[i + 1] as string);
    } else {
      // Nothing is dropped before the first cookie, so that it stands at the same place in both lists.
      out ??= headers.slice(0, i);
      out[first + 1] += `; ${headers[i + 1]}`;
    }
  }
  return out ?? headers;
}

/** Fields of which Node takes one value and throws for two, though origins do repeat them: the first counts. */
const SINGLE = new Set(
  (
    'access-control-allow-credentials access-control-max-age access-control-request-method age authorization content-encoding ' +
    'content-language content-length content-location content-md5 content-range content-type date dnt etag expires from host ' +
    'if-match if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards ' +
    'proxy-authorization range referer retry-after tk upgrade-insecure-requests user-agent x-content-type-options'
  ).split(' '),
);

/** The object that Node wants; several values of one name become an array, cookies one field. */
export function fieldObject(list: readonly string[]): OutgoingHttpHeaders {
  const out: OutgoingHttpHeaders = {};
  for (let i = 0; i < list.length; i += 2) {
    const name = (list[i] as string).toLowerCase();
    const value = list[i + 1] as string;
    const before = out[name];
    if (before === undefined) out[name] = value;
    else if (SINGLE.has(name)) continue;
    else if (name === 'cookie') out[name] = `${before}; ${value}`;
    else if (Array.isArray(before)) before.push(value);
    else out[name] = [String(before), value];
  }
  return out;
}

/** At the `end` of a stream: false when it ended because the stream was reset or its session broke off. */
export function isWhole(stream: Http2Stream): boolean {
  return !stream.aborted && (stream.rstCode ?? constants.NGHTTP2_NO_ERROR) === constants.NGHTTP2_NO_ERROR;
}

/** SECURITY: what a session is destroyed with. Without an error Node ends its streams as if they were whole. */
export const brokenOff = (): Error => new Error('the socket ended');
