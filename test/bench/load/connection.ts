/** One TLS connection of the load generator: CONNECT where there is a proxy, then TLS with the host's name. Loopback only. */
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls, type SecureContext, type TLSSocket } from 'node:tls';
import { SocketReader } from '../../../src/proxy/socket-reader.ts';
import type { Via } from './job.ts';

const OPEN_WAIT_MS = 15_000;

export interface ConnectionOptions {
  readonly via: Via;
  readonly host: string;
  readonly originPort: number;
  readonly context: SecureContext;
  readonly alpn: 'http/1.1' | 'h2';
  /** Takes bytes as they come; they are valid only until it returns. Absent: the socket is an ordinary stream. */
  readonly onBytes?: (bytes: Buffer) => void;
}

/** Opens a connection; rejects when it is refused, reset or not there in time. */
export async function openConnection(options: ConnectionOptions): Promise<TLSSocket> {
  const { via, host, onBytes } = options;
  const tcp = await openTcp(via.port);
  if (via.mode === 'connect') await establish(tcp, `${host}:${options.originPort}`, via.authorization);
  return new Promise((resolve, reject) => {
    const socket = connectTls({
      socket: tcp,
      servername: host,
      secureContext: options.context,
      ALPNProtocols: [options.alpn],
    });
    const timer = setTimeout(() => socket.destroy(new Error('no TLS session in time')), OPEN_WAIT_MS);
    const failed = (error: Error): void => {
      clearTimeout(timer);
      reject(error);
    };
    socket.once('error', failed);
    socket.once('close', () => failed(new Error('closed before TLS was there')));
    socket.once('secureConnect', () => {
      clearTimeout(timer);
      socket.off('error', failed);
      socket.on('error', () => {});
      // The option `onread` is not for TLS over a socket that is there already.
      if (onBytes !== undefined) new SocketReader(socket, true, onBytes);
      resolve(socket);
    });
  });
}

function openTcp(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connectTcp({ port, host: '127.0.0.1', noDelay: true });
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.off('error', reject);
      resolve(socket);
    });
  });
}

function establish(socket: Socket, authority: string, authorization: string | null): Promise<void> {
  return new Promise((resolve, reject) => {
    let text = '';
    const timer = setTimeout(() => failed(new Error('no answer to CONNECT')), OPEN_WAIT_MS);
    const failed = (error?: Error): void => {
      clearTimeout(timer);
      socket.destroy();
      reject(error ?? new Error('closed after CONNECT'));
    };
    const closed = (): void => failed();
    const take = (chunk: Buffer): void => {
      text += chunk.toString('latin1');
      if (!text.includes('\r\n\r\n')) return;
      if (!/^HTTP\/1\.[01] 200/.test(text)) {
        failed(new Error(`CONNECT answered ${text.slice(0, 40)}`));
        return;
      }
      clearTimeout(timer);
      socket.pause();
      socket.off('data', take).off('error', failed).off('close', closed);
      resolve();
    };
    socket.on('data', take).once('error', failed).once('close', closed);
    const credential = authorization === null ? '' : `Proxy-Authorization: ${authorization}\r\n`;
    socket.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${credential}\r\n`);
  });
}
