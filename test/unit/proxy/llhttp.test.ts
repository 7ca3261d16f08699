/**
 * The engine against llhttp, Node's own parser: the same bytes go to both over real sockets. What we take, llhttp has taken and read
 * in the same way; what we refuse beyond it is named here. The seed of a failing run is in its message: set FUZZ_SEED to repeat it.
 */
import { createServer as createHttpServer, type IncomingMessage, type Server } from 'node:http';
import { type AddressInfo, connect, createServer, type Server as NetServer, type Socket } from 'node:net';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { destinationOf } from '../../../src/domain/destination.ts';
import type { AlterError } from '../../../src/domain/errors.ts';
import { parseProxyLabel } from '../../../src/policy/selectors.ts';
import { readFacts } from '../../../src/proxy/facts.ts';
import { AgentHttp1 } from '../../../src/proxy/http1/agent-http1.ts';
import { blockOf } from '../../../src/proxy/http1/serialize.ts';
import type { AgentReply } from '../../../src/proxy/message.ts';
import type { Route } from '../../../src/proxy/route.ts';
import { Sweeper } from '../../../src/proxy/sweeper.ts';
import { Dice } from '../../helpers/dice.ts';

interface Message {
  readonly method: string;
  readonly target: string;
  readonly headers: readonly string[];
  readonly body: string;
  readonly trailers: readonly string[];
}

interface Reading {
  /** Requests whose body was complete. */
  readonly taken: Message[];
  /** Why the rest was refused; null when there was none, or it was incomplete. */
  refused: string | null;
}

/** Reasons of ours that llhttp does not have. */
const STRICTER: readonly string[] = [
  'more than one Host header',
  'the request line has no valid method', // llhttp skips a bare CR or LF before it
  'the request target has a byte that is not allowed', // and spaces behind the method
  'the version is not HTTP/1.0 or HTTP/1.1', // and behind the target
  'misdirected_request', // Host or the absolute form name another host than the tunnel
  'method_refused', // TRACE
  'Transfer-Encoding is not exactly "chunked"', // llhttp takes `gzip, chunked`, `chunked` twice and an empty one beside a length
  'Transfer-Encoding in an HTTP/1.0 message',
  'both Content-Length and Transfer-Encoding',
  'a chunk size is too large',
  'a chunk-size line is too long',
  'a chunk size is followed by something that is no extension',
  'the trailers are too long',
  'too many empty lines',
  'more than 50 headers',
  'Content-Length is not a number', // 16 digits and more
];
/** Authorities and paths, which llhttp does not read: `@` and anything else that is no host, raw `#` and back slash, a path above the root. */
const STRICTER_TARGET =
  /^(the host |a label of the host |the authority |the port |the path |the query |the request target (is neither|does not start))/;
/** Where llhttp refuses or misreads what RFC 9110 allows: methods that it does not know, tabs as white space. */
const NODE_ONLY: readonly (readonly [reason: string | null, bytes: RegExp])[] = [
  ['HPE_INVALID_METHOD', /(?:)/],
  ['HPE_INVALID_TRANSFER_ENCODING', /^transfer-encoding:[^\r]*\t/im],
  ['HPE_INVALID_CONTENT_LENGTH', /^content-length:[^\r]*\t/im],
  [null, /^connection:[^\r]*\t/im],
];

/** The readings of one server by the port of the client. A connection has its own, whatever an older one of its port still says. */
class Readings {
  readonly #byPort = new Map<number, Reading>();
  readonly #bySocket = new WeakMap<object, Reading>();

  begin(socket: Socket): Reading {
    const reading: Reading = { taken: [], refused: null };
    this.#byPort.set(socket.remotePort as number, reading);
    this.#bySocket.set(socket, reading);
    return reading;
  }

  of(socket: object): Reading {
    return this.#bySocket.get(socket) as Reading;
  }

  take(port: number): Reading {
    const reading = this.#byPort.get(port);
    this.#byPort.delete(port);
    return reading ?? { taken: [], refused: 'no connection' };
  }
}

const ours = new Readings();
const theirs = new Readings();

let engine: NetServer;
let node: Server;
const sweeper = new Sweeper();
const ROUTE = {
  caller: { label: parseProxyLabel('') },
  destination: destinationOf('https', 'a', 443, 0),
  tunnelled: true,
  sni: null,
} as Route;
const LIMITS = { headBytes: 16_384, headers: 50, clientHeadMs: 60_000, clientIdleMs: 60_000, bodyIdleMs: 60_000 };

beforeAll(async () => {
  engine = createServer({ allowHalfOpen: true }, (socket) => {
    const reading = ours.begin(socket);
    const refuse = (error: AlterError, reply: AgentReply): void => {
      reading.refused ??= (error.details as { reason?: string }).reason ?? error.code;
      reply.head(400, 'Bad Request', blockOf(['Connection', 'close']), { kind: 'none' });
      reply.end([]);
      socket.destroySoon();
    };
    new AgentHttp1(socket, LIMITS, sweeper, {
      onRequest: (request, reply) => {
        const { method, target, headers, body } = request;
        let text = '';
        if (reading.refused !== null) return void socket.destroySoon(); // what is behind a refused request is not compared
        try {
          readFacts(request, ROUTE);
        } catch (thrown) {
          queueMicrotask(() => refuse(thrown as AlterError, reply));
          return;
        }
        const done = (trailers: readonly string[]): void => {
          reading.taken.push({ method, target, headers, body: text, trailers });
          reply.head(200, 'OK', blockOf([]), { kind: 'none' });
          reply.end([]);
        };
        if (body.complete) queueMicrotask(() => done([]));
        else
          body.attach({
            write: (slice) => {
              text += slice.toString('latin1');
              return true;
            },
            flush: () => {},
            end: done,
            abort: () => {},
          });
      },
      onMalformed: refuse,
      onClose: () => {},
    });
  });
  node = createHttpServer(
    { insecureHTTPParser: false, requireHostHeader: false, keepAliveTimeout: 60_000 },
    (request, response) => {
      const reading = theirs.of(request.socket);
      // llhttp knows 0.9 (no version at all) and 2.0 too; we do not.
      if (request.httpVersionMajor !== 1) reading.refused ??= 'version';
      if (request.httpVersion === '1.1' && request.headers.host === undefined) reading.refused ??= 'no Host';
      if (reading.refused !== null) return void request.socket.destroy();
      void collect(request).then((message) => {
        if (message !== null) reading.taken.push(message);
        response.end();
      });
    },
  );
  node.on('connection', (socket) => void theirs.begin(socket));
  node.on('checkExpectation', (_request, response) => response.end());
  node.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    if (error.code !== 'HPE_INVALID_EOF_STATE' && error.code !== 'ECONNRESET')
      theirs.of(socket).refused ??= error.code ?? 'error';
    socket.destroy();
  });
  for (const server of [engine, node]) await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});

afterAll(() => {
  sweeper.close();
  engine.close();
  node.closeAllConnections();
  node.close();
});

function collect(request: IncomingMessage): Promise<Message | null> {
  return new Promise((resolve) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('error', () => resolve(null));
    request.on('close', () => resolve(null));
    request.on('end', () => {
      const { method = '', url = '', rawHeaders, rawTrailers } = request;
      const body = Buffer.concat(parts).toString('latin1');
      resolve(request.complete ? { method, target: url, headers: rawHeaders, body, trailers: rawTrailers } : null);
    });
  });
}

/** Sends the bytes in pieces, then the end; answers what the server made of them. */
function feed(server: NetServer, all: Readings, bytes: Buffer, cut: number): Promise<Reading> {
  return new Promise((resolve) => {
    let port = 0;
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1', () => {
      port = socket.localPort as number;
      socket.setNoDelay(true);
      socket.write(bytes.subarray(0, cut));
      socket.end(bytes.subarray(cut));
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(all.take(port)));
    socket.resume();
  });
}

const SEEDS: readonly string[] = [
  'GET / HTTP/1.1\r\nHost: a\r\n\r\n',
  'GET /a?b=c HTTP/1.1\r\nHost: a\r\nX: 1\r\nx: 2\r\n\r\nGET /second HTTP/1.1\r\nHost: a\r\n\r\n',
  'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello',
  'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET /2 HTTP/1.1\r\nHost: a\r\n\r\n',
  'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
  'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\nA;q="x y"\r\n0123456789\r\n0\r\nX-T: y\r\n\r\n',
  'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\nDELETE /next HTTP/1.1\r\nHost: a\r\n\r\n',
  'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n',
  'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n',
  'PUT /x HTTP/1.0\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\nabcGET / HTTP/1.0\r\n\r\n',
  'OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n',
  'GET http://a/b HTTP/1.1\r\nHost: a\r\n\r\n',
  'GET / HTTP/1.1\r\nHost: a\r\nConnection: close, X-A\r\n\r\nGET /ignored HTTP/1.1\r\nHost: a\r\n\r\n',
  'GET / HTTP/1.1\nHost: a\n\n',
  'GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n folded\r\n\r\n',
];

const PIECES: readonly string[] = [
  '\r\n', '\r', '\n', ' ', '\t', ':', ';', ',', '=', '"', '\0', '\x01', '\x7f', '\x80', '\xff', '0', '5', 'f', '-', '+', '0x', '#', '@',
  '/', '?', '%', 'HTTP/1.1', 'HTTP/1.0', 'HTTP/2.0', 'Host: b\r\n', 'Content-Length: 3\r\n', 'Content-Length: 03\r\n', 'Content-Length: 5 \r\n',
  'Transfer-Encoding: chunked\r\n', 'Transfer-Encoding:\tchunked \r\n', 'Transfer-Encoding: gzip\r\n', 'transfer-encoding : chunked\r\n',
  'Connection: close\r\n', 'Connection: keep-alive\r\n', '\r\n\r\n', '0\r\n\r\n', '1\r\nx\r\n', 'X: y\r\n', ' X: y\r\n', 'GET /z HTTP/1.1\r\nHost: z\r\n\r\n',
]; // biome-ignore format: a corpus

function mutate(dice: Dice): string {
  let text = SEEDS[dice.below(SEEDS.length)] as string;
  for (let n = dice.below(4); n > 0; n--) {
    const at = dice.below(text.length + 1);
    const span = dice.below(3) === 0 ? dice.below(12) : dice.below(2);
    const piece = dice.below(4) === 0 ? '' : (PIECES[dice.below(PIECES.length)] as string);
    text = text.slice(0, at) + piece + text.slice(at + span);
  }
  return text;
}

/** What the two disagree about in a way that has no name; null for nothing. */
function disagreement(mine: Reading, oracle: Reading, text: string): string | null {
  if (NODE_ONLY.some(([reason, bytes]) => reason === oracle.refused && bytes.test(text))) return null;
  for (let i = 0; i < mine.taken.length; i++) {
    const theirMessage = oracle.taken[i];
    if (theirMessage === undefined) return `we take request ${i}, llhttp does not (${oracle.refused})`;
    const [a, b] = [JSON.stringify(mine.taken[i]), JSON.stringify(theirMessage)];
    if (a !== b) return `request ${i} is read differently:\n  ours   ${a}\n  llhttp ${b}`;
  }
  if (oracle.taken.length === mine.taken.length) return null;
  if (mine.refused !== null && (STRICTER.includes(mine.refused) || STRICTER_TARGET.test(mine.refused))) return null;
  return `llhttp takes request ${mine.taken.length}, we do not (${mine.refused})`;
}

async function compare(text: string, cut: number): Promise<string | null> {
  const bytes = Buffer.from(text, 'latin1');
  const [mine, oracle] = await Promise.all([feed(engine, ours, bytes, cut), feed(node, theirs, bytes, cut)]);
  const found = disagreement(mine, oracle, text);
  return found === null ? null : `${found}\n  bytes  ${JSON.stringify(text)} cut at ${cut}`;
}

it('reads every seed of the corpus as llhttp does, wherever the bytes are cut', async () => {
  for (const seed of SEEDS)
    for (const cut of [0, 1, 10, seed.length >> 1, seed.length - 1])
      expect(await compare(seed, cut), JSON.stringify(seed)).toBeNull();
});

it('agrees with llhttp on mutated requests, or is stricter in a way that has a name', async () => {
  const seed = Number(process.env.FUZZ_SEED ?? Date.now() % 2 ** 31);
  const dice = new Dice(seed);
  const until = performance.now() + Number(process.env.FUZZ_MS ?? 4000);
  while (performance.now() < until) {
    const batch = Array.from({ length: 50 }, () => {
      const text = mutate(dice);
      return compare(text, dice.below(text.length));
    });
    for (const found of await Promise.all(batch)) if (found !== null) expect.fail(`FUZZ_SEED=${seed}\n${found}`);
  }
});
