/** The finished request for an origin: method, target and fields as they were injected, framing written anew. Pure. */
import type { Destination } from '../domain/destination.ts';
import type { InjectedRequest } from '../injection/inject.ts';
import { fieldLines, headText } from './http1/serialize.ts';
import type { AgentRequest } from './message.ts';
import type { UpstreamRequest } from './upstream/upstream.ts';

/** @param webSocket the request is a handshake, which has no body */
export function outgoingOf(
  destination: Destination,
  request: AgentRequest,
  injected: InjectedRequest,
  webSocket: boolean,
): UpstreamRequest {
  const { authority, scheme } = destination;
  return {
    method: request.method,
    target: injected.target,
    authority,
    scheme,
    headers: injected.headers,
    headText: headText(
      `${request.method} ${injected.target} HTTP/1.1\r\nHost: ${authority}`,
      fieldLines(injected.headers),
      webSocket ? 'Connection: Upgrade\r\nUpgrade: websocket\r\n' : framingText(request),
    ),
    framing: request.framing,
  };
}

function framingText(request: AgentRequest): string {
  const { framing } = request;
  if (framing.kind === 'length') return `Content-Length: ${framing.length}\r\n`;
  if (framing.kind === 'chunked' || framing.kind === 'close') return 'Transfer-Encoding: chunked\r\n';
  // A POST without a body says so: some origins answer 411 otherwise.
  return request.method === 'POST' || request.method === 'PUT' || request.method === 'PATCH' ? 'Content-Length: 0\r\n' : '';
}
