/**
 * Soak: mixed load with aborts, resets, slow clients, revocations and reloads, for five minutes or `--seconds N` (`npm run soak -- --seconds 60`).
 * Then: every request has its row, memory is flat, no descriptor is left, the journal verifies, and nothing showed the secret.
 */

import { once } from 'node:events';
import { createReadStream, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect as connectHttp2 } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { parseArgs } from 'node:util';
import { startOrigin } from '../helpers/origin.ts';
import { makePki } from '../helpers/pki.ts';
import { diceOf } from './fuzz/fuzzing.ts';
import { startProcess } from './support/child.ts';
import { GOOD, leaks, SECRET, startTrap } from './support/wall.ts';
import { readAnswer, Wire } from './support/wire.ts';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '300' },
    workers: { type: 'string', default: '12' },
    only: { type: 'string', multiple: true },
  },
});
const seconds = Number(values.seconds);
const dice = diceOf('soak');
const problems: string[] = [];
const check = (isGood: boolean, what: string): void => {
  console.log(`${isGood ? 'ok  ' : 'FAIL'} ${what}`);
  if (!isGood) problems.push(what);
};

const pki = makePki();
const origin = await startOrigin(pki);
const trap = await startTrap();
const noise = Buffer.alloc(256 * 1024, 'x');
origin.answer = async (request, response) => {
  const url = request.url ?? '';
  // Said by ourselves, so that no Keep-Alive promises a minute: idle sockets should be gone soon after the load.
  response.setHeader('connection', 'keep-alive');
  if (url.startsWith('/reset')) request.socket.destroy();
  else if (url.startsWith('/slow')) {
    response.writeHead(200);
    for (let i = 0; i < 5 && !response.destroyed; i++) {
      response.write('tick\n');
      await new Promise((resolve) => setTimeout(resolve, 40));
    }
    response.end();
  } else if (url.startsWith('/big')) response.end(noise);
  else response.end('ok');
};
const config = `allow_private = ["evil.test:443"]\n[upstream]\nca_file = "${pki.caFile}"\nresolve = { "${GOOD}:443" = "127.0.0.1:${origin.port}", "evil.test:443" = "127.0.0.1:${trap.port}" }\n[timeouts]\nclient_head_ms = 1000\nbody_idle_ms = 1000\n`;
const daemon = await startProcess({ config, logLevel: 'info' });
await daemon.api('POST', '/v1/secrets', { name: 'demo', provider: 'bearer', fields: { token: SECRET } });
const ca = readFileSync(daemon.caFile);

interface Member {
  readonly name: string;
  authorization: string;
}
let made = 0;
async function member(): Promise<Member> {
  const name = `soak-${++made}`;
  const { authorization } = await daemon.agent(name);
  await daemon.api('POST', '/v1/grants', {
    credential: 'demo',
    agent: name,
    hosts: [GOOD],
    allow_private: true,
    methods: ['GET', 'POST'],
  });
  return { name, authorization };
}

/** Requests whose row must exist, by path. */
const sent = new Set<string>();
const counts: Record<string, number> = {};

/** The event, or an error when the socket ends first: a wait without an end would be a soak without one. */
function soon(socket: Socket, event: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    socket.once(event, resolve);
    for (const end of ['end', 'close']) socket.once(end, () => reject(new Error(`closed before ${event}`)));
  });
}

async function tunnel(who: Member, host = GOOD): Promise<Socket> {
  const socket = connect({ port: daemon.port, host: '127.0.0.1', allowHalfOpen: true });
  socket.on('error', () => {});
  await soon(socket, 'connect');
  socket.write(`CONNECT ${host}:443 HTTP/1.1\r\nHost: ${host}:443\r\nProxy-Authorization: ${who.authorization}\r\n\r\n`);
  const head = (await soon(socket, 'data')) as Buffer;
  if (!head.toString('latin1').startsWith('HTTP/1.1 200')) {
    socket.destroy();
    throw new Error('refused');
  }
  return socket;
}

const carriers = new WeakMap<TLSSocket, Socket>();
async function tls(who: Member, alpn: string): Promise<TLSSocket> {
  const carrier = await tunnel(who);
  const secure = connectTls({ socket: carrier, ca, servername: GOOD, ALPNProtocols: [alpn] });
  carriers.set(secure, carrier);
  secure.on('error', () => {});
  await soon(secure, 'secureConnect');
  return secure;
}

let serial = 0;
const pathFor = (kind: string): string => {
  const path = `/${kind}/${++serial}`;
  sent.add(path);
  return path;
};
const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: ${GOOD}\r\n\r\n`;

const KINDS: Record<string, (who: Member) => Promise<void>> = {
  plain: async (who) => {
    const wire = new Wire(await tls(who, 'http/1.1'));
    for (let i = 0; i < 20; i++) {
      wire.write(get(pathFor('plain')));
      const { status } = await readAnswer(wire);
      if (status !== 200 && status !== 403) throw new Error(`plain: ${status}`);
    }
    wire.socket.destroy();
  },
  http2: async (who) => {
    const secure = await tls(who, 'h2');
    const session = connectHttp2(`https://${GOOD}`, { createConnection: () => secure });
    session.on('error', () => {});
    await Promise.all(
      Array.from({ length: 10 }, async () => {
        const stream = session.request({ ':path': pathFor('h2'), ':authority': GOOD });
        stream.on('error', () => {});
        stream.resume();
        await once(stream, 'close');
      }),
    );
    session.destroy();
  },
  abort: async (who) => {
    const secure = await tls(who, 'http/1.1');
    const wire = new Wire(secure);
    wire.write(get(pathFor(dice.pick(['slow', 'big']))));
    await new Promise((resolve) => setTimeout(resolve, 20 + dice.below(60)));
    if (dice.below(2) === 0) carriers.get(secure)?.resetAndDestroy();
    wire.socket.destroy();
  },
  reset: async (who) => {
    const wire = new Wire(await tls(who, 'http/1.1'));
    wire.write(get(pathFor('reset')));
    await readAnswer(wire).catch(() => {});
    wire.socket.destroy();
  },
  big: async (who) => {
    const wire = new Wire(await tls(who, 'http/1.1'));
    wire.write(get(pathFor('big')));
    await readAnswer(wire);
    wire.socket.destroy();
  },
  upload: async (who) => {
    const wire = new Wire(await tls(who, 'http/1.1'));
    wire.write(`POST ${pathFor('upload')} HTTP/1.1\r\nHost: ${GOOD}\r\nContent-Length: ${noise.length}\r\n\r\n`);
    wire.write(noise);
    await readAnswer(wire);
    wire.socket.destroy();
  },
  dribble: async (who) => {
    const wire = new Wire(await tls(who, 'http/1.1'));
    wire.write('GET /never HT');
    await new Promise((resolve) => setTimeout(resolve, 200));
    wire.socket.destroy();
  },
  denied: async (who) => {
    const wire = new Wire(await tls(who, 'http/1.1'));
    wire.write(`DELETE ${pathFor('denied')} HTTP/1.1\r\nHost: ${GOOD}\r\n\r\n`);
    await readAnswer(wire);
    wire.socket.destroy();
  },
  blind: async (who) => {
    const socket = await tunnel(who, 'evil.test');
    socket.write('hello');
    await new Promise((resolve) => setTimeout(resolve, 20));
    socket.destroy();
  },
};

const until = Date.now() + seconds * 1000;
async function worker(): Promise<void> {
  let who = await member();
  while (Date.now() < until) {
    const kind = dice.pick(values.only ?? Object.keys(KINDS));
    counts[kind] = (counts[kind] ?? 0) + 1;
    await (KINDS[kind] as (who: Member) => Promise<void>)(who).catch((error: unknown) => {
      const { message } = error as Error;
      if (!/ended after|refused|ECONNRESET|closed|socket/.test(message)) problems.push(`${kind}: ${message}`);
    });
    if (dice.below(60) === 0) {
      await daemon.api('POST', `/v1/agents/${who.name}/status`, { status: 'revoked' });
      counts.revoked = (counts.revoked ?? 0) + 1;
      who = await member();
    }
  }
}

// A daemon that dies under the load must be seen to, with its last words, and not as some file of /proc that is missing.
let isMeantToEnd = false;
void daemon.exited.then((how) => {
  if (isMeantToEnd) return;
  console.log(`FAIL the daemon ended under the load (${how}); its last words:\n${daemon.said().slice(-4_000)}`);
  process.exit(1);
});

const fds = (): number => readdirSync(`/proc/${daemon.pid}/fd`).length;
const residentMib = (): number => Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${daemon.pid}/status`, 'utf8'))?.[1]) / 1024;
const fdsBefore = fds();
const memory: number[] = [];
const meter = setInterval(() => memory.push(residentMib()), Math.max(500, seconds * 10));
const reloads = setInterval(() => {
  writeFileSync(`${daemon.home}/config/alterd.toml`, dice.below(3) === 0 ? 'nonsense = [' : config);
  daemon.signal('SIGHUP');
  counts.reloads = (counts.reloads ?? 0) + 1;
}, 2_000);

await Promise.all(Array.from({ length: Number(values.workers) }, worker));
clearInterval(meter);
clearInterval(reloads);
writeFileSync(`${daemon.home}/config/alterd.toml`, config);
console.log(`${sent.size} requests: ${JSON.stringify(counts)}`);

// Idle sockets to origins live a few seconds; then everything that the load opened is closed.
const idleEnd = Date.now() + 20_000;
while (fds() > fdsBefore + 4 && Date.now() < idleEnd) await new Promise((resolve) => setTimeout(resolve, 200));
check(fds() <= fdsBefore + 4, `descriptors: ${fdsBefore} before, ${fds()} after`);

const half = memory.slice(Math.floor(memory.length / 2));
const grown = half.length < 2 ? 0 : (half.at(-1) as number) - (half[0] as number);
check(
  grown < 40,
  `memory: ${memory.map((mib) => Math.round(mib)).join(' ')} MiB; ${Math.round(grown)} MiB more in the second half`,
);

const rows = new Map<string, number>();
let unknown = 0;
const exported = `${daemon.home}/rows.jsonl`;
const ended = await daemon.cli(['audit', 'export', '--format', 'jsonl', '--out', exported]);
const lines =
  ended.code === 0 ? await linesOf(exported) : (await daemon.cli(['audit', 'export', '--format', 'jsonl'])).stdout.split('\n');
for (const line of lines) {
  if (line === '') continue;
  const row = JSON.parse(line) as { path?: string; outcome?: string };
  if (row.outcome === 'unknown') unknown++;
  if (row.path !== undefined) rows.set(row.path, (rows.get(row.path) ?? 0) + 1);
}
async function linesOf(file: string): Promise<string[]> {
  let text = '';
  for await (const chunk of createReadStream(file, 'utf8')) text += chunk;
  return text.split('\n');
}
// A request that was reset with its socket may never have been read: those paths may lack a row, none may have two.
const arrived = new Set(origin.arrivals.map(({ url }) => url));
const missing = [...arrived].filter((path) => !rows.has(path));
const lost = [...sent].filter((path) => !rows.has(path) && !/^\/(slow|big|h2|plain|upload|reset|denied)\//.test(path));
check(missing.length === 0, `rows: every one of ${arrived.size} requests at the origin has one (${missing.length} have not)`);
check(lost.length === 0 && [...rows.values()].every((count) => count === 1), `rows: none is there twice (${rows.size} paths)`);
check(unknown === 0, `rows: all are closed (${unknown} are not)`);
check(
  origin.arrivals.every(({ headers }) => headers.authorization === `Bearer ${SECRET}`),
  'every request at the origin has the credential',
);
const verified = await daemon.api<{ ok: boolean }>('POST', '/v1/audit/verify');
check(verified.ok, 'the journal verifies');
check(
  leaks(daemon.said() + trap.heard() + lines.join('\n')).length === 0,
  'the secret is in no log, no row, and not at the wrong host',
);
check(!/unexpected way/.test(daemon.said()), 'nothing failed in an unexpected way');
isMeantToEnd = true;
daemon.signal('SIGTERM');
check((await daemon.exited) === 0, 'SIGTERM ends it with 0');
await Promise.all([origin.close(), trap.close()]);
for (const problem of new Set(problems)) console.log(`problem: ${problem}`);
process.exit(problems.length === 0 ? 0 : 1);
