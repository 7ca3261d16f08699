/** The jobs that are about connections: new ones in a loop, idle ones that are held, and first visits to many hosts. */
import { hostNumber } from '../names.ts';
import { rssBytes } from '../process-tree.ts';
import { Client } from './client.ts';
import type { Job, JobResult } from './job.ts';
import { openClients, requestOf, type Way, wayOf } from './jobs.ts';
import { Window, waitMs } from './window.ts';

const SETTLE_MS = 700;

async function visit(way: Way, request: Buffer): Promise<number> {
  const client = await Client.open(way);
  try {
    return await new Promise((resolve, reject) =>
      client.send(request, (error, answer) => (error === null ? resolve(answer.bytes) : reject(error))),
    );
  } finally {
    client.close();
  }
}

/** TCP, CONNECT, full TLS handshake and one request, for each request. */
export async function newConnections(job: Job): Promise<JobResult> {
  const way = wayOf(job);
  const request = requestOf(job);
  const window = new Window(job.watch);
  let stopping = false;
  const loop = async (): Promise<void> => {
    while (!stopping) {
      const startedAt = performance.now();
      try {
        const bytes = await visit(way, request);
        window.success(startedAt, bytes);
      } catch (error) {
        window.failure(error as Error);
        await waitMs(20);
      }
    }
  };
  const loops = Array.from({ length: job.connections }, loop);
  await window.run(job);
  stopping = true;
  await Promise.all(loops);
  return window.result();
}

/** Each host once, one after the other; the latency is that of the whole visit. */
export async function firstVisits(job: Job): Promise<JobResult> {
  const ways = Array.from({ length: job.hosts ?? 1 }, (_, n) => ({ way: wayOf(job, hostNumber(n)), host: hostNumber(n) }));
  const window = new Window(job.watch);
  window.begin();
  for (const { way, host } of ways) {
    const startedAt = performance.now();
    try {
      window.success(startedAt, await visit(way, requestOf(job, host)));
    } catch (error) {
      window.failure(error as Error);
    }
  }
  window.end();
  return window.result();
}

/** Opens connections in steps, each with one request, and holds them; answers the memory of the watched processes at each step. */
export async function idleConnections(job: Job): Promise<JobResult> {
  const way = wayOf(job);
  const request = requestOf(job);
  const window = new Window(job.watch);
  const held: Client[] = [];
  const numbers: number[] = [];
  window.begin();
  for (const step of job.steps ?? []) {
    const clients = await openClients(way, step - held.length);
    held.push(...clients);
    for (const client of clients)
      await new Promise<void>((resolve) =>
        client.send(request, (error) => {
          if (error === null) window.count();
          else window.failure(error);
          resolve();
        }),
      );
    await waitMs(SETTLE_MS);
    numbers.push(rssBytes(job.watch));
  }
  window.end();
  for (const client of held) client.close();
  return window.result({ numbers });
}
