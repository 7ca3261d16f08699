/**
 * Agents that send requests through their daemon without a pause that anybody planned: each has a grant with a secret of its own and an
 * account of its own. Each request has a path of its own, by which origin, audit and agent are compared.
 */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, request as httpRequest, type IncomingMessage, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { API_HOST, type Family } from './accounts.ts';
import type { ChaosRecord, Marker, Request } from './record.ts';
import type { FleetStage, Part } from './stage.ts';

const ANSWER_MS = 20_000;
const CALL_MS = 30_000;

export interface Agent {
  readonly name: string;
  readonly key: string;
  readonly daemon: Part;
  /** Of the newest grant. */
  marker: Marker | null;
  family: Family | null;
  accountGrant: string | null;
}

export class Agents {
  readonly all: Agent[] = [];
  readonly #stage: FleetStage;
  readonly #record: ChaosRecord;
  readonly #origin: Server;
  #count = 0;
  #markers = 0;
  #running: Promise<unknown> = Promise.resolve();
  #isStopped = false;

  constructor(stage: FleetStage, record: ChaosRecord) {
    this.#stage = stage;
    this.#record = record;
    this.#origin = createServer((incoming, response) => {
      record.judgeMarker(incoming.url ?? '', incoming.headers.authorization ?? '');
      response.end('ok');
    });
  }

  /** @param perDaemon agents of each daemon */
  async start(perDaemon: number): Promise<void> {
    await new Promise<void>((resolve) => this.#origin.listen(0, '127.0.0.1', resolve));
    for (const [n, daemon] of this.#stage.daemons.entries()) {
      const names = Array.from({ length: perDaemon }, (_none, i) => `bot-${n}-${i}`);
      for (const name of names) {
        const { key } = await this.#stage.manage<{ key: string }>('POST', '/v1/agents', { name });
        this.all.push({ name, key, daemon, marker: null, family: null, accountGrant: null });
      }
      await this.#stage.manage('POST', `/v1/hosts/host-${n}/assign`, { agents: names });
    }
    for (const agent of this.all) {
      await this.newGrant(agent);
      await this.connect(agent);
    }
  }

  /** Until stop(): each agent asks with its secret, and now and then with its account. */
  run(pauseMs: number): void {
    this.#isStopped = false;
    this.#running = Promise.all(
      this.all.flatMap((agent) => [
        this.#again(pauseMs, () => this.ask(agent)),
        this.#again(pauseMs * 5, () => this.askAccount(agent)),
      ]),
    );
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#running;
  }

  async close(): Promise<void> {
    await this.stop();
    await new Promise((resolve) => {
      this.#origin.close(resolve);
      this.#origin.closeAllConnections();
    });
  }

  /** A secret that nobody had before, and a grant of it. What is not known to have failed is looked for before it is made again. */
  async newGrant(agent: Agent): Promise<void> {
    const name = `${agent.name}-${++this.#markers}`;
    const token = `SEKRET-marker-${name}`;
    const address = `http://127.0.0.1:${(this.#origin.address() as AddressInfo).port}`;
    await this.insist('POST', '/v1/secrets', { name, provider: 'bearer', fields: { token } });
    const marker = { agent: agent.name, no: this.#markers, grantId: '', endedAt: null, refusedFrom: Number.POSITIVE_INFINITY };
    this.#record.markers.set(token, marker);
    const wanted = {
      credential: name,
      agent: agent.name,
      hosts: [address],
      allow_private: true,
      allow_plaintext: true,
      label: name,
    };
    await this.insist('POST', '/v1/grants', wanted, async () => (await this.#grantId(name)) !== null);
    marker.grantId = (await this.#grantId(name)) ?? '';
    agent.marker = marker;
  }

  /** Ends the grant of an agent; from then on the bound counts. */
  async endGrant(agent: Agent, boundMs: number): Promise<Marker | null> {
    const { marker } = agent;
    if (marker === null) return null;
    agent.marker = null;
    await this.insist('POST', '/v1/kill', { kind: 'grant', name: marker.grantId });
    marker.endedAt = performance.now();
    marker.refusedFrom = marker.endedAt + boundMs;
    return marker;
  }

  /** A new account for the agent, in the place of one that has ended. */
  async connect(agent: Agent): Promise<void> {
    const { family, refreshToken } = this.#stage.accounts.begin(agent.name);
    const { grant_id: grantId } = await this.#stage.manage<{ grant_id: string }>('POST', '/v1/connect/import', {
      ...{
        provider: 'acme',
        agent: agent.name,
        flow: 'refresh_token',
        inputs: { refresh_token: refreshToken },
        allow_private: true,
      },
      ...(agent.accountGrant === null ? {} : { grant_id: agent.accountGrant }),
    });
    agent.accountGrant = grantId;
    const sql = 'select c.id, c.version::int from grants g join credentials c on c.id = g.credential_id where g.id = $1';
    const [row] = await this.#stage.query<{ id: string; version: number }>(sql, [grantId]);
    family.base = { credentialId: row?.id ?? '', version: row?.version ?? 0, no: family.answers.length - 1 };
    agent.family = family;
  }

  async ask(agent: Agent): Promise<Request> {
    const request = this.#note(agent, `/static/${agent.name}/`);
    const { port } = this.#origin.address() as AddressInfo;
    const target = `http://127.0.0.1:${port}${request.path}`;
    return this.#send(agent, request, () =>
      httpRequest({
        ...{ host: '127.0.0.1', port: agent.daemon.process?.port ?? 1, path: target, agent: false, timeout: ANSWER_MS },
        headers: { host: `127.0.0.1:${port}`, 'proxy-authorization': basicOf(agent) },
      }),
    );
  }

  async askAccount(agent: Agent): Promise<Request> {
    const request = this.#note(agent, `/account/${agent.name}/`);
    let tunnel: Awaited<ReturnType<typeof tunnelThrough>>;
    try {
      tunnel = await tunnelThrough(agent);
    } catch {
      // Nothing of a request was sent: there is nothing to be found of it.
      this.#record.requests.delete(request.path);
      return { ...request, status: -1 };
    }
    return this.#send(agent, request, () =>
      httpRequest({
        ...{ createConnection: () => tunnel, path: request.path, timeout: ANSWER_MS },
        headers: { host: API_HOST, connection: 'close' },
      }),
    );
  }

  /** Until it is done; `isDone` says whether an attempt whose answer was lost has done it. */
  async insist(method: string, path: string, body: object, isDone: () => Promise<boolean> = async () => false): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        if (attempt > 1 && (await isDone())) return;
        return void (await within(CALL_MS, this.#stage.manage(method, path, body)));
      } catch (error) {
        const { problem } = error as { problem?: { error?: string; detail?: string } };
        if (problem?.error === 'conflict' && attempt > 1 && !/changed by somebody else/.test(problem.detail ?? '')) return;
        if (problem?.error === 'invalid_input' || problem?.error === 'not_found') throw error;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  }

  async #grantId(label: string): Promise<string | null> {
    const [row] = await this.#stage.query<{ id: string }>('select id from grants where label = $1', [label]);
    return row?.id ?? null;
  }

  async #again(pauseMs: number, once_: () => Promise<unknown>): Promise<void> {
    while (!this.#isStopped) {
      await once_();
      await new Promise((resolve) => setTimeout(resolve, pauseMs * (0.5 + Math.random())));
    }
  }

  #note(agent: Agent, prefix: string): Request {
    const path = `${prefix}${++this.#count}`;
    const request: Request = {
      path,
      agent: agent.name,
      sentAt: performance.now(),
      status: null,
      error: null,
      id: null,
      answer: '',
      arrivals: 0,
    };
    this.#record.requests.set(path, request);
    return request;
  }

  #send(agent: Agent, request: Request, begin: () => ReturnType<typeof httpRequest>): Promise<Request> {
    return new Promise((resolve) => {
      const ended = (status: number): void => {
        request.status ??= status;
        resolve(request);
      };
      if (agent.daemon.process === null) {
        this.#record.requests.delete(request.path);
        return resolve({ ...request, status: -1 });
      }
      const call = begin();
      call.once('timeout', () => call.destroy());
      call.once('error', () => ended(-1));
      call.once('response', (response: IncomingMessage) => {
        request.error = (response.headers['alter-error'] as string | undefined) ?? null;
        request.id = (response.headers['alter-request-id'] as string | undefined) ?? null;
        response.once('error', () => ended(-1));
        response.once('close', () => ended(response.complete ? (response.statusCode ?? 0) : -1));
        response.setEncoding('utf8').on('data', (text: string) => {
          request.answer += text;
        });
      });
      call.end();
    });
  }
}

const basicOf = ({ key }: Agent): string => `Basic ${Buffer.from(`x:${key}`).toString('base64')}`;

async function tunnelThrough(agent: Agent) {
  const signal = AbortSignal.timeout(ANSWER_MS);
  const socket = connect(agent.daemon.process?.port ?? 1, '127.0.0.1');
  try {
    socket.on('error', () => {});
    await once(socket, 'connect', { signal });
    socket.write(`CONNECT ${API_HOST}:443 HTTP/1.1\r\nHost: ${API_HOST}:443\r\nProxy-Authorization: ${basicOf(agent)}\r\n\r\n`);
    const head = await Promise.race([
      once(socket, 'data', { signal }).then(([bytes]) => String(bytes)),
      once(socket, 'close', { signal }).then(() => ''),
    ]);
    if (!head.startsWith('HTTP/1.1 200')) throw new Error('no tunnel');
    const ca = readFileSync(join(agent.daemon.home, 'state', 'ca', 'ca.crt'));
    const tls = connectTls({ socket, servername: API_HOST, ca });
    tls.on('error', () => {});
    await Promise.race([
      once(tls, 'secureConnect', { signal }),
      once(tls, 'close', { signal }).then(() => Promise.reject(new Error('closed'))),
    ]);
    return tls;
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

/** @throws Error when it takes longer */
export async function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer in ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
