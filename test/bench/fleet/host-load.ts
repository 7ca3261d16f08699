/**
 * The process of the simulated hosts: takes one job at a time from its parent and answers the result. Calls are signed before the
 * window begins, each with a nonce of its own, so that what is measured has the machine. It ends with its parent.
 */
import { createPrivateKey, type KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { request } from 'node:https';
import { createSecureContext, type SecureContext } from 'node:tls';
import { mintNonce, signedHeaders } from '../../../src/crypto/request-signing.ts';
import { percentile } from '../arithmetic.ts';
import { waitMs } from '../load/window.ts';
import { VAULT_NAME } from '../names.ts';
import { threadMicros, treeOf } from '../process-tree.ts';
import { SignedConnection } from './signed-connection.ts';
import type { CallsJob, CallsResult, HostJob, HostStage, StreamsResult } from './wire.ts';

/** More than any replica answers in a second; beyond it calls are signed as they go. */
const SIGNED_AHEAD = 4_000;
const OPENING = 50;

interface Signer {
  readonly id: string;
  readonly key: KeyObject;
}

let signers: readonly Signer[] = [];
let port = 0;
let ca = '';
let context: SecureContext;
const streams: { readonly stop: () => void; told: Promise<number> }[] = [];

function begin({ hosts, port: at, caFile }: HostStage): void {
  signers = hosts.map(({ id, key }) => ({ id, key: createPrivateKey(key) }));
  port = at;
  ca = readFileSync(caFile, 'utf8');
  context = createSecureContext({ ca, minVersion: 'TLSv1.3' });
}

function callOf({ target, body, etag }: CallsJob, n: number): Buffer {
  const { id, key } = signers[n % signers.length] as Signer;
  const method = body === null ? 'GET' : 'POST';
  const payload = Buffer.from(body ?? '');
  const headers = {
    host: `${VAULT_NAME}:${port}`,
    ...signedHeaders(id, key, { method, target, timestamp: Date.now(), nonce: mintNonce(), body: payload }),
    ...(etag === null ? {} : { 'if-none-match': etag }),
    ...(body === null ? {} : { 'content-type': 'application/json', 'content-length': String(payload.length) }),
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.concat([Buffer.from(`${method} ${target} HTTP/1.1\r\n${lines.join('')}\r\n`, 'latin1'), payload]);
}

async function calls(job: CallsJob): Promise<CallsResult> {
  const ahead = Math.round((job.rate ?? SIGNED_AHEAD) * (job.seconds + job.warmMs / 1000));
  const ready = Array.from({ length: ahead }, (_, n) => callOf(job, n));
  // After the signing: a vault closes connections on which nothing is asked for ten seconds.
  const connections: SignedConnection[] = [];
  for (let n = 0; n < job.connections; n++) connections.push(await SignedConnection.open(port, context));
  let next = 0;
  let isOpen = false;
  let isOver = false;
  const latencies: number[] = [];
  const errors: Error[] = [];
  const send = (connection: SignedConnection, since: number, then: () => void): void => {
    const call = ready[next] ?? callOf(job, next);
    next++;
    connection.send(call, (error) => {
      if (isOver) return;
      if (error !== null) errors.push(error);
      else if (isOpen) latencies.push(performance.now() - since);
      then();
    });
  };
  if (job.rate === null) {
    const again = (connection: SignedConnection): void => send(connection, performance.now(), () => again(connection));
    for (const connection of connections) again(connection);
  } else void atRate(job.rate, [...connections], send, () => isOver);
  await waitMs(job.warmMs);
  const before = [threadMicros(job.vault), threadMicros(job.database.flatMap(treeOf))] as const;
  const startedAt = performance.now();
  isOpen = true;
  await waitMs(job.seconds * 1000);
  isOpen = false;
  const seconds = (performance.now() - startedAt) / 1000;
  const after = [threadMicros(job.vault), threadMicros(job.database.flatMap(treeOf))] as const;
  isOver = true;
  for (const connection of connections) connection.close();
  return {
    ...{ calls: latencies.length, errors: errors.length, firstError: errors[0]?.message ?? null, seconds },
    ...{ p50Ms: percentile(latencies, 50), p99Ms: percentile(latencies, 99) },
    ...{ vaultUs: after[0] - before[0], databaseUs: after[1] - before[1] },
  };
}

/** Latency counts from the scheduled time, also for a call that had to wait for a free connection. */
async function atRate(
  rate: number,
  free: SignedConnection[],
  send: (connection: SignedConnection, since: number, then: () => void) => void,
  isOver: () => boolean,
): Promise<void> {
  const waiting: number[] = [];
  const start = (connection: SignedConnection, since: number): void =>
    send(connection, since, () => {
      const late = waiting.shift();
      if (late === undefined) free.push(connection);
      else start(connection, late);
    });
  const everyMs = 1000 / rate;
  for (let nextAt = performance.now(); !isOver(); await waitMs(1)) {
    const now = performance.now();
    for (; nextAt <= now; nextAt += everyMs) {
      const connection = free.pop();
      if (connection === undefined) waiting.push(nextAt);
      else start(connection, nextAt);
    }
  }
}

/** The view that a host has; a stream from nowhere begins by telling it to fetch the whole. */
function openStream({ id, key }: Signer): Promise<void> {
  const target = '/v1/host/events?after=0.none';
  const headers = signedHeaders(id, key, {
    method: 'GET',
    target,
    timestamp: Date.now(),
    nonce: mintNonce(),
    body: Buffer.alloc(0),
  });
  return new Promise((resolve, reject) => {
    const where = {
      host: '127.0.0.1',
      port,
      servername: VAULT_NAME,
      path: target,
      ca,
      agent: false,
      minVersion: 'TLSv1.3',
    } as const;
    const sent = request({ ...where, headers: { host: VAULT_NAME, ...headers } }, (response) => {
      if (response.statusCode !== 200) return void reject(new Error(`a stream was answered ${response.statusCode}`));
      let tell: (at: number) => void = () => {};
      const stream = { stop: () => sent.destroy(), told: new Promise<number>((told) => (tell = told)) };
      response.setEncoding('utf8').on('data', (text: string) => {
        if (text.includes('event: changed')) tell(performance.timeOrigin + performance.now());
      });
      response.on('error', () => {});
      streams.push(stream);
      resolve();
    });
    sent.on('error', reject);
    sent.end();
  });
}

async function answerOf(job: HostJob): Promise<CallsResult | StreamsResult> {
  switch (job.kind) {
    case 'calls':
      return calls(job);
    case 'hold':
      for (let n = 0; n < signers.length; n += OPENING) await Promise.all(signers.slice(n, n + OPENING).map(openStream));
      return { at: [] };
    case 'changed':
      return { at: await Promise.all(streams.map(({ told }) => told)) };
    case 'release':
      for (const { stop } of streams.splice(0)) stop();
      return { at: [] };
  }
}

process.on('message', (message: HostStage | HostJob) => {
  const done = 'hosts' in message ? Promise.resolve(begin(message)) : answerOf(message);
  done.then(
    (result) => process.send?.({ result: result ?? null }),
    (error: Error) => process.send?.({ failed: error.message }),
  );
});
process.on('disconnect', () => process.exit(0));
process.on('uncaughtException', (error) => process.send?.({ failed: error.message }));
