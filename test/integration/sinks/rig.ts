/** A journal with sinks on it, and receivers on loopback: syslog over TCP, TLS and UDP, and HTTP. Each reads strictly and keeps what it read. */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer as createHttpServer, type IncomingHttpHeaders } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TlsOptions } from 'node:tls';
import type { SinkConfig } from '../../../src/config/sink.ts';
import { type Journal, openJournal } from '../../../src/journal/journal.ts';
import { parseRowLine } from '../../../src/journal/row-line.ts';
import { openSinks, type Sinks } from '../../../src/sinks/sinks.ts';
import { closing, headKey, opening } from '../journal/samples.ts';

export interface Rig {
  readonly dir: string;
  readonly journal: Journal;
  readonly sinks: Sinks;
  readonly troubles: string[];
  /** Records rows with these paths. */
  write(...paths: string[]): Promise<void>;
  stop(): Promise<void>;
}

export interface RigOptions {
  readonly dir?: string;
  readonly extraCa?: string;
  readonly overrides?: ReadonlyMap<string, { readonly host: string; readonly port: number }>;
}

export async function startRig(configs: readonly SinkConfig[], options: RigOptions = {}): Promise<Rig> {
  const dir = options.dir ?? mkdtempSync(join(tmpdir(), 'alterd-sinks-'));
  const troubles: string[] = [];
  const journal = await openJournal({
    dir: join(dir, 'audit'),
    sync: 'interval',
    headKey: headKey(),
    retentionDays: null,
    onFault: () => {},
  });
  const sinks = openSinks({
    configs,
    dir: join(dir, 'sinks'),
    feed: () => journal.feed(),
    outbound: { overrides: options.overrides ?? new Map(), extraCa: options.extraCa ?? null, ownPorts: [] },
    onTrouble: (fields, message) => troubles.push(`${message} ${JSON.stringify(fields)}`),
  });
  return {
    dir,
    journal,
    sinks,
    troubles,
    write: async (...paths) => {
      await Promise.all(paths.map((path) => journal.record(opening({ path }), closing())));
    },
    stop: async () => {
      await journal.stats();
      await sinks.close(5000);
      await journal.close();
      if (options.dir === undefined) rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** Resolves when `isTrue`; the test's own time-out ends what never comes. */
export async function until(isTrue: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isTrue())) await new Promise((resolve) => setTimeout(resolve, 10));
}

export const pathOf = (line: string): string => (JSON.parse(line) as { path: string }).path;

export interface SyslogMessage {
  readonly priority: number;
  readonly msgid: string;
  readonly json: string;
}

const RFC5424 =
  /^<(\d{1,3})>1 (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,6}(?:Z|[+-]\d\d:\d\d)) ([\x21-\x7e]{1,255}) ([\x21-\x7e]{1,48}) ([\x21-\x7e]{1,128}) ([\x21-\x7e]{1,32}) - (.*)$/s;

/** @throws when it isn't exactly a message of RFC 5424 with a row in it */
export function parseSyslog(text: string): SyslogMessage {
  const match = RFC5424.exec(text);
  if (match === null || Number(match[1]) > 191) throw new Error(`no RFC 5424 message: ${text.slice(0, 200)}`);
  const json = match[7] as string;
  if (parseRowLine(json) === undefined && !json.startsWith('{"kind":"checkpoint"'))
    throw new Error(`no row: ${json.slice(0, 200)}`);
  return { priority: Number(match[1]), msgid: match[6] as string, json };
}

export interface StreamReceiver {
  readonly port: number;
  readonly messages: SyslogMessage[];
  readonly sockets: Set<Socket>;
  /** Ends every connection with a reset, as a receiver that dies does. */
  reset(): void;
  close(): Promise<void>;
}

/** Takes octet-counted frames and nothing else. */
export async function syslogReceiver(
  make: (onSocket: (socket: Socket) => void) => Server = (on) => createServer(on),
  port = 0,
): Promise<StreamReceiver> {
  const messages: SyslogMessage[] = [];
  const sockets = new Set<Socket>();
  const server = make((socket) => {
    sockets.add(socket);
    let rest = Buffer.alloc(0);
    socket.on('data', (chunk: Buffer) => {
      rest = Buffer.concat([rest, chunk]);
      for (;;) {
        const count = /^([1-9]\d{0,8}) /.exec(rest.toString('latin1', 0, 11));
        if (count === null) break;
        const start = count[0].length;
        const end = start + Number(count[1]);
        if (rest.length < end) break;
        messages.push(parseSyslog(rest.toString('utf8', start, end)));
        rest = rest.subarray(end);
      }
    });
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as { port: number }).port,
    messages,
    sockets,
    reset: () => {
      for (const socket of sockets) socket.resetAndDestroy();
    },
    close: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

export interface HttpReceiver {
  readonly port: number;
  readonly posts: { readonly url: string; readonly headers: IncomingHttpHeaders; readonly body: string }[];
  /** What it answers from now on. */
  answer: { status: number; body: string; headers?: Record<string, string> };
  close(): Promise<void>;
}

export async function httpReceiver(tls?: TlsOptions, port = 0): Promise<HttpReceiver> {
  const posts: HttpReceiver['posts'] = [];
  const receiver = { answer: { status: 200, body: '{}' } as HttpReceiver['answer'] };
  const listener: Parameters<typeof createHttpServer>[1] = (request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      posts.push({ url: request.url ?? '', headers: request.headers, body: Buffer.concat(parts).toString('utf8') });
      response.writeHead(receiver.answer.status, receiver.answer.headers).end(receiver.answer.body);
    });
  };
  const server = tls === undefined ? createHttpServer(listener) : createHttpsServer(tls, listener);
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return Object.assign(receiver, {
    port: (server.address() as { port: number }).port,
    posts,
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  });
}
