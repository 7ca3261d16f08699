/** The jobs over kept-alive HTTP/1.1 connections: closed loop, fixed rate, and the check that the credential arrives. */
import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { hostNumber } from '../names.ts';
import { Client } from './client.ts';
import type { ConnectionOptions } from './connection.ts';
import type { Job, JobResult } from './job.ts';
import { Window, waitMs } from './window.ts';

const DRAIN_MS = 300;
/** Connections that are opened at once. */
const OPENING = 16;

export type Way = Omit<ConnectionOptions, 'alpn' | 'onBytes'>;

export function wayOf(job: Job, host = hostNumber(0)): Way {
  const context = createSecureContext({ ca: readFileSync(job.caFile) });
  return { via: job.via, host, originPort: job.originPort, context };
}

export function requestOf(job: Job, host = hostNumber(0)): Buffer {
  const start = `${job.bodyBytes === undefined ? 'GET' : 'POST'} ${job.path} HTTP/1.1\r\nHost: ${host}:${job.originPort}\r\n`;
  const length = job.bodyBytes === undefined ? '' : `Content-Length: ${job.bodyBytes}\r\n`;
  return Buffer.from(`${start}User-Agent: bench\r\nAccept: */*\r\n${length}\r\n`);
}

export async function openClients(way: Way, count: number): Promise<Client[]> {
  const clients: Client[] = [];
  while (clients.length < count) {
    const batch = Math.min(OPENING, count - clients.length);
    clients.push(...(await Promise.all(Array.from({ length: batch }, () => Client.open(way)))));
  }
  return clients;
}

/** Every connection sends its next request when it has its answer. */
export async function closedLoop(job: Job): Promise<JobResult> {
  const way = wayOf(job);
  const request = requestOf(job);
  const options = job.bodyBytes === undefined ? {} : { bodyBytes: job.bodyBytes };
  const sent = job.bodyBytes ?? 0;
  const window = new Window(job.watch);
  const clients = new Set(await openClients(way, job.connections));
  let stopping = false;
  const loop = (client: Client): void => {
    const startedAt = performance.now();
    client.send(
      request,
      (error, answer) => {
        if (error === null) window.success(startedAt, sent > 0 ? sent : answer.bytes);
        else if (!stopping) window.failure(error);
        if (stopping || error !== null) clients.delete(client);
        // A connection that was lost is opened again, so that the number of connections holds.
        if (!stopping && error !== null) void reopen();
        else if (!stopping) loop(client);
      },
      options,
    );
  };
  const reopen = async (): Promise<void> => {
    await waitMs(20);
    if (stopping) return;
    try {
      const client = await Client.open(way);
      clients.add(client);
      loop(client);
    } catch (error) {
      window.failure(error as Error);
      void reopen();
    }
  };
  const all = [...clients];
  for (const client of all) loop(client);
  await window.run(job);
  stopping = true;
  await waitMs(DRAIN_MS);
  for (const client of [...all, ...clients]) client.close();
  return window.result();
}

/** Timers of Node fire up to this late; that is the generator's lateness, not the target's, and is not counted. */
const TIMER_GRAIN_MS = 2;

/**
 * Requests at fixed times, whatever became of the ones before. Latency counts from the scheduled time, also for a request that
 * had to wait for a free connection: a target that stalls is seen to stall.
 */
export async function fixedRate(job: Job): Promise<JobResult> {
  const rate = job.rate ?? 100;
  const window = new Window(job.watch);
  const request = requestOf(job);
  const free = await openClients(wayOf(job), job.connections);
  const all = [...free];
  const waiting: number[] = [];
  const start = (client: Client, scheduledAt: number): void =>
    client.send(request, (error, answer) => {
      if (error !== null) {
        window.failure(error);
        return;
      }
      window.success(scheduledAt, answer.bytes);
      const next = waiting.shift();
      if (next === undefined) free.push(client);
      else start(client, next);
    });
  const everyMs = 1000 / rate;
  const endAt = performance.now() + job.warmMs + job.seconds * 1000;
  let nextAt = performance.now() + everyMs;
  const tick = (): void => {
    const now = performance.now();
    for (; nextAt <= now; nextAt += everyMs) {
      const scheduledAt = now - nextAt <= TIMER_GRAIN_MS ? now : nextAt;
      const client = free.pop();
      if (client === undefined) waiting.push(scheduledAt);
      else start(client, scheduledAt);
    }
    if (now < endAt) setTimeout(tick, Math.max(1, nextAt - now));
  };
  tick();
  await window.run(job);
  await waitMs(DRAIN_MS);
  for (const client of all) client.close();
  return window.result();
}

const CHECKS = 64;

/** A few requests whose answers show what the origin received. */
export async function check(job: Job): Promise<JobResult> {
  const window = new Window(job.watch);
  const [client] = await openClients(wayOf(job), 1);
  const request = requestOf(job);
  const texts = new Set<string>();
  window.begin();
  for (let i = 0; i < CHECKS; i++)
    await new Promise<void>((resolve, reject) =>
      (client as Client).send(
        request,
        (error, answer) => {
          if (error === null) resolve();
          else reject(error);
          texts.add(answer.text);
        },
        { keep: true },
      ),
    );
  window.end();
  client?.close();
  return window.result({ requests: CHECKS, texts: [...texts] });
}
