/** Which fields travel on: what an agent sends to an origin, what an origin answers, and trailers. */
import { describe, expect, it } from 'vitest';
import { classifyHeaders } from '../../../src/proxy/header-kinds.ts';
import type { Framing } from '../../../src/proxy/http1/framing.ts';
import type { AgentRequest } from '../../../src/proxy/message.ts';
import { answerHeaders, outgoingHeaders, outgoingTrailers } from '../../../src/proxy/outgoing.ts';

const NONE: Framing = { kind: 'none' };

function outgoing(headers: string[], change: Partial<AgentRequest> = {}): string[] {
  const request = { protocol: 'HTTP/1.1', headers, ...classifyHeaders(headers), framing: NONE, ...change };
  return outgoingHeaders(request as AgentRequest);
}

const answer = (headers: string[], framing: Framing = NONE, keepLength = false): string[] =>
  answerHeaders({ headers, ...classifyHeaders(headers) }, framing, keepLength);

describe('of a request', () => {
  it.each([
    'Host',
    'Content-Length',
    'Transfer-Encoding',
    'Connection',
    'Keep-Alive',
    'Proxy-Connection',
    'Proxy-Authenticate',
    'Proxy-Authentication-Info',
    'Proxy-Authorization',
    'pROXY-aUTHORIZATION',
    'HTTP2-Settings',
    'Upgrade',
    'TE',
    'Trailer',
    'Forwarded',
    'Via',
    'X-Forwarded-For',
    'X-Forwarded-Anything',
    'X-Real-IP',
    'Client-IP',
    'True-Client-IP',
    'Alter-Grant-Id',
    'x-alter-reason',
  ])('%s stays behind', (name) => {
    expect(outgoing(['A', '1', name, 'x', 'B', '2'])).toEqual(['A', '1', 'B', '2']);
  });

  it.each([
    ['X-Foo', ['X-Foo', '1', 'Connection', 'x-foo']],
    ['Authorization among other tokens', ['Connection', 'close, Authorization', 'authorization', 'mine', 'AUTHORIZATION', 'b']],
    ['every duplicate', ['X-Foo', '1', 'x-foo', '2', 'Connection', 'keep-alive', 'Connection', 'X-FOO']],
    ['a field that is otherwise known', ['traceparent', '1', 'Content-Type', 'a/b', 'Connection', 'traceparent, content-type']],
  ])('Connection takes %s away', (_what, headers) => {
    expect(outgoing(headers)).toEqual([]);
  });

  it('Connection nominates whole tokens, not parts of names', () => {
    expect(outgoing(['X-Foo-Bar', '1', 'Connection', 'Foo, X-Foo'])).toEqual(['X-Foo-Bar', '1']);
  });

  it.each([
    ['trailers', ['TE', 'trailers']],
    ['deflate;q=0.5, trailers', ['TE', 'trailers']],
    ['Trailers', ['TE', 'trailers']],
    ['xtrailers', []],
    ['deflate', []],
  ])('TE: %s becomes %j', (value, expected) => {
    expect(outgoing(['TE', value])).toEqual(expected);
  });

  it.each([
    ['HTTP/1.1', '100-continue', true],
    ['HTTP/1.1', '100-Continue', true],
    ['HTTP/1.1', 'something-else', false],
    ['HTTP/1.0', '100-continue', false],
  ] as const)('%s Expect: %s travels: %s', (protocol, value, travels) => {
    expect(outgoing(['Expect', value], { protocol })).toEqual(travels ? ['Expect', value] : []);
  });

  it('Trailer travels with a chunked body', () => {
    expect(outgoing(['Trailer', 'X-Sum'], { framing: { kind: 'chunked' } })).toEqual(['Trailer', 'X-Sum']);
  });

  it('everything else keeps its order, case and duplicates', () => {
    const headers = ['b', '1', 'Accept', '*/*', 'B', '2', 'b', '1', 'Range', 'bytes=0-', 'Cookie', 'a=b', 'X-Empty', ''];
    expect(outgoing(headers)).toEqual(headers);
  });
});

describe('of an answer', () => {
  it.each([
    'Connection',
    'Keep-Alive',
    'Transfer-Encoding',
    'Upgrade',
    'Proxy-Authenticate',
    'Proxy-Connection',
    'TE',
    'Alt-Svc',
    'Alter-Error',
    'X-Alter-Anything',
  ])('%s stays behind', (name) => {
    expect(answer(['A', '1', name, 'x'])).toEqual(['A', '1']);
  });

  it('nominated fields stay behind', () => {
    expect(answer(['X-Hop', '1', 'Connection', 'X-Hop, close', 'X-End', '2'])).toEqual(['X-End', '2']);
  });

  it.each([
    [{ kind: 'length', length: 5 }, false, true],
    [{ kind: 'none' }, true, true],
    [{ kind: 'none' }, false, false],
    [{ kind: 'chunked' }, false, false],
    [{ kind: 'close' }, true, false],
  ] as [Framing, boolean, boolean][])('Content-Length with %j and keepLength %s stays: %s', (framing, keepLength, stays) => {
    expect(answer(['Content-Length', '5'], framing, keepLength)).toEqual(stays ? ['Content-Length', '5'] : []);
  });

  it('everything else keeps its order, case and duplicates', () => {
    const headers = [
      'Set-Cookie',
      'a=1',
      'X-b',
      '1',
      'set-cookie',
      'b=2',
      'X-B',
      '1',
      'WWW-Authenticate',
      'Basic',
      'Trailer',
      'X',
    ];
    expect(answer(headers)).toEqual(headers);
  });
});

describe('of trailers', () => {
  it.each([
    'Authorization',
    'authorization',
    'Proxy-Authorization',
    'Host',
    'Content-Length',
    'Content-Encoding',
    'Transfer-Encoding',
    'TE',
    'Trailer',
    'Connection',
    'Keep-Alive',
    'Upgrade',
    'HTTP2-Settings',
    'Cookie',
    'Set-Cookie',
    'Expect',
    'X-Api-Key',
    'X-Forwarded-For',
    'Via',
    'Alter-Error',
    'If-Match',
  ])('%s is dropped', (name) => {
    expect(outgoingTrailers(['X-A', '1', name, 'x', 'X-B', '2'], new Set())).toEqual(['X-A', '1', 'X-B', '2']);
  });

  it.each(['Private-Token', 'private_token', 'PRIVATE.TOKEN'])('%s is dropped where it is injected', (name) => {
    expect(outgoingTrailers([name, 'x', 'grpc-status', '0'], new Set(['private-token']))).toEqual(['grpc-status', '0']);
  });
});
