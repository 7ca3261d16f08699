/** Which requests may become a WebSocket, and which 101 answers exactly that request. */
import { describe, expect, it } from 'vitest';
import { classifyHeaders } from '../../../src/proxy/header-kinds.ts';
import type { ResponseHead } from '../../../src/proxy/http1/head.ts';
import type { AgentRequest } from '../../../src/proxy/message.ts';
import { isHandshakeAnswer, isWebSocketHandshake } from '../../../src/proxy/upgrade.ts';

// The example of RFC 6455 1.3.
const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
const ACCEPT = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=';

function request(change: Partial<AgentRequest> = {}, headers?: string[]): AgentRequest {
  const list = headers ?? ['Sec-WebSocket-Version', '13', 'sec-websocket-key', KEY];
  return { method: 'GET', upgrade: 'websocket', framing: { kind: 'none' }, headers: list, ...change } as AgentRequest;
}

function answer(...headers: string[]): ResponseHead {
  return { status: 101, reason: '', minor: 1, headers, ...classifyHeaders(headers), lines: null };
}

describe('a request is no WebSocket handshake', () => {
  it.each([
    ['without an upgrade', request({ upgrade: null })],
    ['with another protocol', request({ upgrade: 'h2c' })],
    ['with POST', request({ method: 'POST' })],
    ['with a body', request({ framing: { kind: 'length', length: 1 } })],
    ['without a version', request({}, ['Sec-WebSocket-Key', KEY])],
    ['with version 8', request({}, ['Sec-WebSocket-Version', '8', 'Sec-WebSocket-Key', KEY])],
    ['without a key', request({}, ['Sec-WebSocket-Version', '13'])],
    ['with a short key', request({}, ['Sec-WebSocket-Version', '13', 'Sec-WebSocket-Key', 'YQ=='])],
    [
      'with a key that is not base64',
      request({}, ['Sec-WebSocket-Version', '13', 'Sec-WebSocket-Key', '!'.repeat(22).concat('==')]),
    ],
  ])('%s', (_what, value) => expect(isWebSocketHandshake(value)).toBe(false));

  it('and a proper one is', () => expect(isWebSocketHandshake(request())).toBe(true));
});

describe('a 101 is refused', () => {
  const good = ['Upgrade', 'websocket', 'Connection', 'Upgrade'];
  it.each([
    ['without Sec-WebSocket-Accept', answer(...good)],
    ['with a wrong one', answer(...good, 'Sec-WebSocket-Accept', ACCEPT.replace('s', 't'))],
    ['with one in another case', answer(...good, 'Sec-WebSocket-Accept', ACCEPT.toLowerCase())],
    ['without Upgrade', answer('Connection', 'Upgrade', 'Sec-WebSocket-Accept', ACCEPT)],
    ['with another Upgrade', answer('Upgrade', 'h2c', 'Connection', 'Upgrade', 'Sec-WebSocket-Accept', ACCEPT)],
    ['with two protocols', answer('Upgrade', 'websocket, h2c', 'Connection', 'Upgrade', 'Sec-WebSocket-Accept', ACCEPT)],
    ['without Connection', answer('Upgrade', 'websocket', 'Sec-WebSocket-Accept', ACCEPT)],
    ['with a part of the token', answer('Upgrade', 'websocket', 'Connection', 'no-upgrade', 'Sec-WebSocket-Accept', ACCEPT)],
  ])('%s', (_what, head) => expect(isHandshakeAnswer(request(), head)).toBe(false));

  it('and the right one is accepted in any case', () => {
    const head = answer('upgrade', 'WebSocket', 'connection', 'keep-alive, upgrade', 'sec-websocket-accept', ACCEPT);
    expect(isHandshakeAnswer(request(), head)).toBe(true);
  });
});
