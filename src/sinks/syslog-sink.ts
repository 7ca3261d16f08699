/**
 * Rows as RFC 5424 messages: over TLS or TCP, UDP, or a Unix socket. A datagram socket such as /dev/log is one that Node can't
 * open; `logger` of util-linux speaks to it, and its exit status says whether it could.
 */
import { spawn } from 'node:child_process';
import { createSocket, type Socket as DatagramSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { hostname } from 'node:os';
import type { JournaldSinkConfig, SyslogSinkConfig } from '../config/sink.ts';
import type { Destination } from '../domain/destination.ts';
import type { Outbound } from './outbound.ts';
import type { Complaint, Sink, SinkItem } from './sink.ts';
import { StreamWriter } from './stream-writer.ts';
import { datagramMessage, octetCounted, priorityOf, syslogMessage } from './syslog-format.ts';

const HOST = hostname();

/** @throws the system's error */
async function connectUnix(path: string): Promise<Socket> {
  const socket = connect(path);
  await once(socket, 'connect');
  return socket;
}

/** The sink for a transport. */
export function syslogSink(config: SyslogSinkConfig, outbound: Outbound): Sink {
  if (config.transport === 'unix') return new UnixSyslog(config.path);
  const destination = config.destination as Destination;
  if (config.transport === 'udp') return new UdpSyslog(destination, config.allowPrivate, outbound);
  return new StreamSyslog(() => outbound.connect(destination, config.allowPrivate));
}

class StreamSyslog implements Sink {
  readonly #writer: StreamWriter;

  set onLost(callback: () => void) {
    this.#writer.onLost = callback;
  }

  check(): void {
    this.#writer.check();
  }

  constructor(open: () => Promise<Socket>) {
    this.#writer = new StreamWriter(open);
  }

  deliver(items: readonly SinkItem[]): Promise<Complaint> {
    return this.#writer.write(items.map((item) => octetCounted(syslogMessage(item, HOST, process.pid))).join(''));
  }

  close(): void {
    this.#writer.close();
  }
}

class UdpSyslog implements Sink {
  readonly #destination: Destination;
  readonly #allowPrivate: boolean;
  readonly #outbound: Outbound;
  #socket: DatagramSocket | null = null;

  constructor(destination: Destination, allowPrivate: boolean, outbound: Outbound) {
    this.#destination = destination;
    this.#allowPrivate = allowPrivate;
    this.#outbound = outbound;
  }

  async deliver(items: readonly SinkItem[]): Promise<Complaint> {
    const [address] = await this.#outbound.resolve(this.#destination, this.#allowPrivate);
    if (address === undefined) throw new Error('the name has no address');
    this.#socket ??= createSocket(address.family === 6 ? 'udp6' : 'udp4').on('error', () => this.close());
    const socket = this.#socket;
    for (const item of items) {
      const message = datagramMessage(item, HOST, process.pid);
      await new Promise<void>((resolve, reject) => {
        socket.send(message, address.port, address.ip, (error) => (error ? reject(error) : resolve()));
      });
    }
    return null;
  }

  close(): void {
    this.#socket?.close();
    this.#socket = null;
  }
}

class UnixSyslog implements Sink {
  readonly #path: string;
  readonly #stream: StreamSyslog;
  #isDatagram = false;

  set onLost(callback: () => void) {
    this.#stream.onLost = callback;
  }

  check(): void {
    this.#stream.check();
  }

  constructor(path: string) {
    this.#path = path;
    this.#stream = new StreamSyslog(() => connectUnix(path));
  }

  async deliver(items: readonly SinkItem[]): Promise<Complaint> {
    if (!this.#isDatagram) {
      try {
        return await this.#stream.deliver(items);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EPROTOTYPE') throw error;
        this.#isDatagram = true;
      }
    }
    await writeThroughLogger(this.#path, items);
    return null;
  }

  close(): void {
    this.#stream.close();
  }
}

const LOGGER_OPTIONS = ['--rfc5424=notq', '--prio-prefix', '--tag', 'alterd', '--size', '65000', '--socket-errors=on'];

/** @throws Error when logger is not there, or could not write */
async function writeThroughLogger(path: string, items: readonly SinkItem[]): Promise<void> {
  const child = spawn('logger', [...LOGGER_OPTIONS, '--socket', path], {
    stdio: ['pipe', 'ignore', 'ignore'],
    env: { PATH: process.env.PATH },
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', () => reject(new Error('logger (util-linux) could not be started')));
    child.once('exit', resolve);
  });
  child.stdin.on('error', () => {});
  child.stdin.end(items.map((item) => `<${priorityOf(item)}>${item.line}\n`).join(''), 'latin1');
  const status = await ended;
  if (status !== 0) throw new Error(`logger could not write to ${path} (status ${status})`);
}

/**
 * The stream socket of systemd-journald, which systemd-cat uses: seven lines say who speaks, then each line is an entry.
 * A level in front of a line (`<4>`) is its priority.
 */
export class JournaldSink implements Sink {
  readonly #writer: StreamWriter;

  set onLost(callback: () => void) {
    this.#writer.onLost = callback;
  }

  check(): void {
    this.#writer.check();
  }

  constructor({ path }: JournaldSinkConfig) {
    this.#writer = new StreamWriter(async () => {
      const socket = await connectUnix(path);
      socket.write('alterd\n\n6\n1\n0\n0\n0\n', 'latin1');
      return socket;
    });
  }

  deliver(items: readonly SinkItem[]): Promise<Complaint> {
    return this.#writer.write(items.map((item) => `<${priorityOf(item) % 8}>${item.line}\n`).join(''));
  }

  close(): void {
    this.#writer.close();
  }
}
