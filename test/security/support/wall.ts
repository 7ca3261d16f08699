/**
 * The field on which the wall is attacked: a running daemon, a provider that records what reached it, hosts of others that record every
 * byte, and agents that speak by hand. `leaks` knows the forms in which a secret could show. It must never make an attack harmless.
 */
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { type AddressInfo, createServer, connect as dial, type Socket } from 'node:net';
import { connect as connectTls, type PeerCertificate, type TLSSocket } from 'node:tls';
import { expect } from 'vitest';
import { startTestDaemon, type TestDaemon } from '../../helpers/daemon.ts';
import { startOrigin, type TestOrigin } from '../../helpers/origin.ts';
import { makePki, type TestPki } from '../../helpers/pki.ts';
import { type Answer, readAnswer, Wire } from './wire.ts';

export const GOOD = 'api.good.test';
export const RIVAL = 'api.rival.test';
export const EVIL = 'evil.test';
export const SECRET = 'SEKRET-marker-4f1c9a7e2b60';
export const RIVAL_SECRET = 'SEKRET-rival-88d03e5a1c97';
export const BEARER = `Bearer ${SECRET}`;

export type Row = Readonly<Record<string, unknown>>;

/** Takes connections and keeps what they say; never answers. */
export interface Trap {
  readonly port: number;
  readonly contacts: () => number;
  readonly heard: () => string;
  close(): Promise<void>;
}

export async function startTrap(): Promise<Trap> {
  let contacts = 0;
  let heard = '';
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    contacts++;
    sockets.add(socket);
    socket.on('data', (chunk) => (heard += chunk.toString('latin1')));
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    contacts: () => contacts,
    heard: () => heard,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

export interface AskOptions {
  readonly method?: string;
  /** Complete lines without CRLF, behind Host. */
  readonly headers?: readonly string[];
  readonly body?: string;
  /** null: no Host line. */
  readonly host?: string | null;
  readonly connect?: string;
  readonly sni?: string | null;
}

export interface WallAgent {
  readonly name: string;
  readonly key: string;
  readonly authorization: string;
  readonly proxyUrl: string;
  readonly grantId: string;
  readonly placeholder: string;
  /** A socket to the proxy. */
  wire(): Promise<Wire>;
  /** Raw bytes to the proxy port; `@` in front of a line end becomes the agent's Proxy-Authorization. */
  send(text: string): Promise<Answer>;
  /** The answer to CONNECT, and the socket behind it. */
  connect(authority: string): Promise<{ answer: Answer; wire: Wire }>;
  /** TLS inside an accepted CONNECT. */
  tls(options?: { connect?: string; sni?: string | null; alpn?: string[] }): Promise<TLSSocket>;
  open(options?: { connect?: string; sni?: string | null }): Promise<Wire>;
  /** One request inside a tunnel of its own. */
  ask(target: string, options?: AskOptions): Promise<Answer>;
}

export interface Wall {
  readonly pki: TestPki;
  readonly daemon: TestDaemon;
  /** Serves GOOD. */
  readonly good: TestOrigin;
  /** Serves RIVAL, for which another agent has a grant. */
  readonly rival: TestOrigin;
  /** Every host of the attacker: EVIL, and whatever `resolve` sends there. */
  readonly evil: Trap;
  agent(grant?: Readonly<Record<string, unknown>> | null): Promise<WallAgent>;
  /** The same agent with another key of its own. */
  as(agent: WallAgent, key: string): WallAgent;
  /** The newest row that fits and was not answered before; waits until there is one. */
  row(expected: Row): Promise<Row>;
  /** No form of the secret is in the texts, in the log, in the journal or at the attacker. */
  expectNoLeak(...texts: readonly string[]): Promise<void>;
  stop(): Promise<void>;
}

export interface WallOptions {
  /** Top-level TOML, before the tables. */
  readonly config?: string;
  /** TOML tables behind [upstream]. */
  readonly tables?: string;
  /** `host:port` that lead to the attacker's trap, or where they say. */
  readonly trapped?: readonly string[];
  readonly resolve?: Readonly<Record<string, string>>;
  readonly flags?: Readonly<Record<string, string>>;
}

export async function startWall(options: WallOptions = {}): Promise<Wall> {
  const pki = makePki();
  const good = await startOrigin(pki);
  const rival = await startOrigin(pki);
  const evil = await startTrap();
  const routes: Record<string, string> = {
    [`${GOOD}:443`]: `127.0.0.1:${good.port}`,
    [`${RIVAL}:443`]: `127.0.0.1:${rival.port}`,
    [`${EVIL}:443`]: `127.0.0.1:${evil.port}`,
    [`${EVIL}:80`]: `127.0.0.1:${evil.port}`,
    [`${GOOD}:80`]: `127.0.0.1:${evil.port}`,
  };
  for (const name of options.trapped ?? []) routes[name] = `127.0.0.1:${evil.port}`;
  Object.assign(routes, options.resolve);
  const table = Object.entries(routes).map(([from, to]) => `"${from}" = "${to}"`);
  const daemon = await startTestDaemon({
    config: `${options.config ?? ''}\n[upstream]\nca_file = "${pki.caFile}"\nresolve = { ${table.join(', ')} }\n${options.tables ?? ''}\n`,
    ...(options.flags === undefined ? {} : { flags: options.flags }),
  });
  await daemon.api('POST', '/v1/secrets', { name: 'demo', provider: 'bearer', fields: { token: SECRET } });
  await daemon.api('POST', '/v1/secrets', { name: 'rival', provider: 'bearer', fields: { token: RIVAL_SECRET } });
  let count = 0;
  const agent = async (grant: Readonly<Record<string, unknown>> | null = {}): Promise<WallAgent> => {
    const made = await daemon.agent(`bot-${++count}`);
    let grantId = '';
    let placeholder = '';
    if (grant !== null) {
      const created = await daemon.api<{ grant: { id: string; placeholder: string } }>('POST', '/v1/grants', {
        credential: 'demo',
        agent: `bot-${count}`,
        hosts: [GOOD],
        allow_private: true,
        ...grant,
      });
      grantId = created.grant.id;
      placeholder = created.grant.placeholder;
    }
    return { ...made, ...speakerFor(daemon, made.authorization), name: `bot-${count}`, grantId, placeholder };
  };
  // Covered hosts are intercepted whoever asks: this one is somebody else's.
  await agent({ credential: 'rival', hosts: [RIVAL] });
  const seen = new Set<unknown>();
  return {
    pki,
    daemon,
    good,
    rival,
    evil,
    agent,
    as: (made, key) => {
      const authorization = `Basic ${Buffer.from(`${made.name}:${key}`).toString('base64')}`;
      const proxyUrl = `http://${made.name}:${key}@127.0.0.1:${daemon.port}`;
      return { ...made, key, authorization, proxyUrl, ...speakerFor(daemon, authorization) };
    },
    row: (expected) => findRow(daemon, seen, expected),
    expectNoLeak: async (...texts) => {
      const { entries } = await daemon.api<{ entries: Row[] }>('GET', '/v1/audit?limit=1000');
      const places = {
        client: texts.join('\n'),
        log: daemon.logged.join('\n'),
        rows: JSON.stringify(entries),
        evil: evil.heard(),
      };
      for (const [place, text] of Object.entries(places)) expect({ place, found: leaks(text) }).toEqual({ place, found: [] });
    },
    stop: async () => {
      await daemon.stop();
      await Promise.all([good.close(), rival.close(), evil.close()]);
      rmSync(pki.dir, { recursive: true, force: true });
    },
  };
}

export function speakerFor(
  daemon: TestDaemon,
  authorization: string,
): Pick<WallAgent, 'wire' | 'send' | 'connect' | 'tls' | 'open' | 'ask'> {
  const auth = `Proxy-Authorization: ${authorization}`;
  const socket = async (): Promise<Socket> => {
    const made = dial({ port: daemon.port, host: '127.0.0.1', allowHalfOpen: true });
    await once(made, 'connect');
    return made;
  };
  const wire = async (): Promise<Wire> => new Wire(await socket());
  const raw = async (authority: string): Promise<Socket> => {
    const made = await socket();
    made.write(Buffer.from(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${auth}\r\n\r\n`, 'latin1'));
    const [head] = (await firstOf(made, 'data')) as [Buffer];
    made.pause();
    if (!head.toString('latin1').startsWith('HTTP/1.1 200 ')) throw new Error(`CONNECT was refused: ${head.toString('latin1')}`);
    return made;
  };
  const tls = async (
    { connect = `${GOOD}:443`, sni = GOOD, alpn = ['http/1.1'] } = {} as {
      connect?: string;
      sni?: string | null;
      alpn?: string[];
    },
  ): Promise<TLSSocket> => {
    const secure = connectTls({
      socket: await raw(connect),
      ca: daemon.running.ca().pem,
      ...(sni === null ? {} : { servername: sni }),
      ALPNProtocols: alpn,
      checkServerIdentity: () => undefined,
    });
    await firstOf(secure, 'secureConnect');
    return secure;
  };
  return {
    wire,
    tls,
    open: async (options = {}) => new Wire(await tls(options)),
    send: async (text) => {
      const made = await wire();
      made.write(text.replace(/^@\r\n/m, `${auth}\r\n`));
      const answer = await readAnswer(made);
      made.socket.destroy();
      return answer;
    },
    connect: async (authority) => {
      const made = await wire();
      made.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${auth}\r\n\r\n`);
      // An accepted CONNECT has no body, whatever the length of its head says.
      const answer = await readAnswer(made, (await firstLine(made)).includes(' 200 ') ? 'HEAD' : 'GET');
      return { answer, wire: made };
    },
    ask: async (target, options = {}) => {
      const { method = 'GET', headers = [], body = '', host = GOOD } = options;
      const made = new Wire(
        await tls({
          ...(options.connect === undefined ? {} : { connect: options.connect }),
          ...(options.sni === undefined ? {} : { sni: options.sni }),
        }),
      );
      const lines = [`${method} ${target} HTTP/1.1`, ...(host === null ? [] : [`Host: ${host}`]), ...headers];
      if (body !== '' && !headers.some((line) => /^(content-length|transfer-encoding):/i.test(line)))
        lines.push(`Content-Length: ${Buffer.byteLength(body, 'latin1')}`);
      made.write(`${lines.join('\r\n')}\r\n\r\n${body}`);
      const answer = await readAnswer(made, method);
      made.socket.destroy();
      return answer;
    },
  };
}

/** The event, or a failure when the socket closes without one: else its test would wait for ever. */
const firstOf = (socket: Socket, event: string): Promise<unknown[]> =>
  Promise.race([
    once(socket, event),
    once(socket, 'close').then(() => {
      throw new Error(`closed before ${event}`);
    }),
  ]);

/** What is waiting up to the first line end, without taking it. */
async function firstLine(wire: Wire): Promise<string> {
  while (!wire.waiting.includes('\r\n')) {
    if (wire.ended) throw new Error(`ended after ${JSON.stringify(wire.waiting)}`);
    await wire.more();
  }
  return wire.waiting.slice(0, wire.waiting.indexOf('\r\n'));
}

const ROW_WAIT_MS = 2_000;

async function findRow(daemon: TestDaemon, seen: Set<unknown>, expected: Row): Promise<Row> {
  const end = Date.now() + ROW_WAIT_MS;
  for (;;) {
    const { entries } = await daemon.api<{ entries: Row[] }>('GET', '/v1/audit?limit=60');
    const found = entries.find(
      (row) => !seen.has(row.request_id) && Object.entries(expected).every(([name, value]) => row[name] === value),
    );
    if (found !== undefined) {
      seen.add(found.request_id);
      return found;
    }
    if (Date.now() > end)
      throw new Error(`no row with ${JSON.stringify(expected)}; the newest are ${entries.slice(0, 3).map(shortRow).join('\n')}`);
  }
}

const shortRow = (row: Row): string =>
  JSON.stringify(Object.fromEntries(Object.entries(row).filter(([name, value]) => value !== null && SHOWN.has(name))));
const SHOWN: ReadonlySet<string> = new Set(
  'action outcome status decision error policy_error rule agent host port scheme method path protocol'.split(' '),
);

/** Every form of the secrets that a careless program could print, which `text` contains. */
export function leaks(text: string, secrets: readonly string[] = [SECRET, RIVAL_SECRET]): string[] {
  const found: string[] = [];
  const lower = text.toLowerCase();
  for (const secret of secrets) {
    const bytes = Buffer.from(secret);
    const forms: Record<string, string> = {
      raw: secret,
      hex: bytes.toString('hex'),
      percent: [...bytes].map((b) => `%${b.toString(16)}`).join(''),
      reversed: [...secret].reverse().join(''),
    };
    // The middle of each alignment, free of what stands before and behind it.
    for (let shift = 0; shift < 3; shift++) {
      const encoded = Buffer.concat([Buffer.alloc(shift, 'x'), bytes]).toString('base64');
      forms[`base64+${shift}`] = encoded.slice(4, -4);
    }
    for (const [form, value] of Object.entries(forms))
      if (form.startsWith('base64') ? text.includes(value) : lower.includes(value.toLowerCase()))
        found.push(`${form} of ${secret}`);
  }
  return found;
}

/** A refusal of ours, with its code in header and body. */
export function expectRefusal(answer: Answer, status: number, code: string, policyError?: string): void {
  expect({ status: answer.status, code: answer.header('alter-error'), body: answer.body }).toMatchObject({ status, code });
  const document = answer.json();
  expect(document).toMatchObject({ status, error: code, ...(policyError === undefined ? {} : { policy_error: policyError }) });
}

/** Values of a header at an origin, in whatever letter case. */
export const valuesOf = (rawHeaders: readonly string[], name: string): string[] =>
  rawHeaders.flatMap((each, i) => (i % 2 === 0 && each.toLowerCase() === name ? [rawHeaders[i + 1] as string] : []));

export const namesIn = (certificate: PeerCertificate): string => certificate.subjectaltname ?? '';

/** Waits until the condition holds. */
export async function until(condition: () => boolean | Promise<boolean>, timeoutMs = 5_000): Promise<void> {
  const end = Date.now() + timeoutMs;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`not within ${timeoutMs} ms: ${String(condition)}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
