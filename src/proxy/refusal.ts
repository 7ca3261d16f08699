/**
 * Our own answers in the provider's place: RFC 9457 problem documents with the headers that tell them from the provider's.
 */
import { type AlterError, problemOf } from '../domain/errors.ts';
import type { DataPlane } from './data-plane.ts';
import { findHeader } from './header-kinds.ts';
import { blockOf } from './http1/serialize.ts';
import type { AgentReply } from './message.ts';

const REASONS: Readonly<Record<number, string>> = {
  200: 'OK',
  400: 'Bad Request',
  403: 'Forbidden',
  405: 'Method Not Allowed',
  407: 'Proxy Authentication Required',
  414: 'URI Too Long',
  421: 'Misdirected Request',
  429: 'Too Many Requests',
  431: 'Request Header Fields Too Large',
  500: 'Internal Server Error',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
  508: 'Loop Detected',
};

/** RFC 9209 2.3 error types, where one fits. */
const PROXY_STATUS: Readonly<Record<string, string>> = {
  upstream_unreachable: 'destination_unavailable',
  upstream_untrusted: 'tls_certificate_error',
  upstream_protocol: 'http_protocol_error',
  upstream_timeout: 'http_response_timeout',
  loop_detected: 'proxy_loop_detected',
  malformed_request: 'http_request_error',
  request_too_large: 'http_request_error',
  internal_error: 'proxy_internal_error',
  audit_unavailable: 'proxy_internal_error',
  vault_unavailable: 'proxy_internal_error',
  destination_refused: 'destination_ip_prohibited',
};

export interface RefusalMessage {
  readonly status: number;
  readonly reason: string;
  readonly headers: string[];
  readonly body: Buffer;
}

/** git shows a person what a refusal says only when it is plain text; every other client gets a problem document. */
export type Audience = 'any' | 'git';

/** git's own client, by the name it gives itself: a wrong guess changes the wording of a refusal and nothing else. */
export const audienceOf = (headers: readonly string[]): Audience =>
  findHeader(headers, 'user-agent')?.startsWith('git/') === true ? 'git' : 'any';

const plainText = (error: AlterError, requestId: string | null): string =>
  [
    `alterd: ${error.message}`,
    ...(error.hint === undefined ? [] : [error.hint]),
    ...(requestId === null ? [] : [`alterd explain ${requestId}`]),
    '',
  ].join('\n');

/** Status, headers and body of a refusal. */
export function refusalMessage(error: AlterError, requestId: string | null, audience: Audience = 'any'): RefusalMessage {
  const status = error.proxyStatus;
  const isPlain = audience === 'git';
  const body = Buffer.from(isPlain ? plainText(error, requestId) : `${JSON.stringify(problemOf(error, status, requestId))}\n`);
  const headers = [
    'Content-Type',
    isPlain ? 'text/plain' : 'application/problem+json',
    'Content-Length',
    String(body.length),
    'Alter-Error',
    error.code,
    'Proxy-Status',
    `alterd; error=${PROXY_STATUS[error.code] ?? 'http_request_denied'}`,
    'Cache-Control',
    'no-store',
  ];
  if (requestId !== null) headers.push('Alter-Request-Id', requestId);
  if (status === 407) headers.push('Proxy-Authenticate', 'Basic realm="alterd", charset="UTF-8"');
  const retry = error.retryAfterSeconds;
  if (retry !== undefined) headers.push('Retry-After', String(retry));
  return { status, reason: REASONS[status] ?? 'Error', headers, body };
}

/** Answers a refusal; when the answer has begun already, the only honest thing left is to cut it. */
export function sendRefusal(reply: AgentReply, error: AlterError, requestId: string | null, audience?: Audience): void {
  if (reply.started) {
    reply.abort();
    return;
  }
  const message = refusalMessage(error, requestId, audience);
  reply.head(message.status, message.reason, blockOf(message.headers), { kind: 'length', length: message.body.length });
  reply.write(message.body, false);
  reply.flush();
  reply.end([]);
}

/** A refusal whose audit row is written already: it only has to be answered. */
export class RecordedRefusal extends Error {
  readonly error: AlterError;
  readonly requestId: string;

  constructor(error: AlterError, requestId: string) {
    super(error.message, { cause: error });
    this.error = error;
    this.requestId = requestId;
  }
}

/** Bugs with their stack, everything else by code only: messages of foreign errors may quote what they were given (S-68). */
export function logFailure({ log }: Pick<DataPlane, 'log'>, error: AlterError, requestId: string | null): void {
  if (error.code === 'internal_error')
    log.error(
      { request_id: requestId, stack: (error.cause as Error | undefined)?.stack },
      'a request failed in an unexpected way',
    );
  else log.debug({ request_id: requestId, error: error.code }, 'request refused');
}
