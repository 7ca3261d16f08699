/**
 * WebSocket over HTTP/1.1 (RFC 6455 4): the handshake is an ordinary exchange with injection; after a valid 101 the two
 * sockets become one pipe. Anything but a well-formed WebSocket handshake is treated as a plain request (S-110, S-111).
 */
import { createHash } from 'node:crypto';
import type { Socket } from 'node:net';
import { findHeader, HeaderKind } from './header-kinds.ts';
import { listTokens, type ResponseHead } from './http1/head.ts';
import { blockOf } from './http1/serialize.ts';
import type { AgentReply, AgentRequest } from './message.ts';
import type { UpstreamStream } from './upstream/upstream.ts';

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

/** True for a request that may become a WebSocket. */
export function isWebSocketHandshake(request: AgentRequest): boolean {
  return (
    request.upgrade === 'websocket' &&
    request.method === 'GET' &&
    request.framing.kind === 'none' &&
    findHeader(request.headers, 'sec-websocket-version') === '13' &&
    /^[A-Za-z0-9+/]{22}==$/.test(findHeader(request.headers, 'sec-websocket-key') ?? '')
  );
}

/** True when the 101 answers exactly this handshake. */
export function isHandshakeAnswer(request: AgentRequest, head: ResponseHead): boolean {
  const accept = findHeader(head.headers, 'sec-websocket-accept');
  const expected = createHash('sha1')
    .update(`${findHeader(request.headers, 'sec-websocket-key')}${GUID}`)
    .digest('base64');
  const upgrade = listTokens(head, HeaderKind.upgrade);
  return (
    accept === expected &&
    upgrade.length === 1 &&
    upgrade[0] === 'websocket' &&
    listTokens(head, HeaderKind.connection).includes('upgrade')
  );
}

/** A live pipe between an agent and an origin. */
export interface LivePipe {
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** Cuts both sides. */
  destroy(): void;
}

const HIGH_WATER_BYTES = 256 * 1024;
/** How long one side may go on after the other ended. */
const ENDED_MS = 10_000;

/**
 * Joins the two sockets after a 101. `onEnd` is called once when both are closed.
 * The pipe is pure: frames are not looked at.
 */
export function joinWebSocket(
  reply: AgentReply,
  head: ResponseHead,
  headers: string[],
  rest: Buffer | null,
  stream: UpstreamStream,
  idleMs: number,
  onEnd: (pipe: LivePipe) => void,
): LivePipe {
  reply.head(101, head.reason, blockOf([...headers, 'Connection', 'Upgrade', 'Upgrade', 'websocket']), { kind: 'none' });
  reply.flush();
  const { socket: agent, reader, rest: early } = reply.switchOver();
  let bytesIn = rest?.length ?? 0;
  let bytesOut = early?.length ?? 0;
  let open = true;
  const pipe: LivePipe = {
    get bytesIn() {
      return bytesIn;
    },
    get bytesOut() {
      return bytesOut;
    },
    destroy: () => {
      agent.destroy();
      upstream.destroy();
    },
  };
  const finish = (): void => {
    if (!open) return;
    open = false;
    pipe.destroy();
    onEnd(pipe);
  };
  const upstream = stream.takeOver({
    onBytes(chunk, shared) {
      bytesIn += chunk.length;
      agent.write(shared ? Buffer.from(chunk) : chunk);
      return agent.writableLength < HIGH_WATER_BYTES;
    },
    onEnd: () => agent.end(),
    onClose: finish,
  }) as Socket;
  reader.redirect((chunk, shared) => {
    bytesOut += chunk.length;
    upstream.write(shared ? Buffer.from(chunk) : chunk);
    if (upstream.writableLength >= HIGH_WATER_BYTES) agent.pause();
  });
  agent.on('drain', () => upstream.resume());
  upstream.on('drain', () => agent.resume());
  agent.on('end', () => {
    upstream.end();
    // RFC 6455 7.1.1: whoever ended its side is done; an origin that does not follow must not hold the pipe.
    agent.setTimeout(Math.min(idleMs, ENDED_MS));
  });
  agent.on('error', finish);
  agent.on('close', finish);
  // Every byte is either read from or written to this socket, so it alone shows whether the pipe is idle (S-115).
  agent.setTimeout(idleMs);
  agent.on('timeout', finish);
  if (rest !== null) agent.write(rest);
  if (early !== null) upstream.write(early);
  agent.resume();
  return pipe;
}
