/** The jobs with streams: server-sent events that carry the time of their writing, and HTTP/2 with many requests at once. */
import { type ClientHttp2Session, connect } from 'node:http2';
import { hostNumber } from '../names.ts';
import { openConnection } from './connection.ts';
import type { Job, JobResult } from './job.ts';
import { requestOf, wayOf } from './jobs.ts';
import { Window, waitMs } from './window.ts';

/** Every stream answers the time to its first event in `numbers`; the latencies are those from the origin's write to our read. */
export async function eventStreams(job: Job): Promise<JobResult> {
  const way = wayOf(job);
  const window = new Window(job.watch);
  const numbers: number[] = [];
  const sockets = [];
  let done = false;
  for (let i = 0; i < job.connections; i++) {
    let startedAt = 0;
    let first = true;
    let rest = '';
    const socket = await openConnection({
      ...way,
      alpn: 'http/1.1',
      onBytes: (bytes) => {
        const now = process.hrtime.bigint();
        rest += bytes.toString('latin1');
        for (const [, at] of rest.matchAll(/data: (\d+)\n/g)) {
          if (first) numbers.push((performance.now() - startedAt) * 1000);
          first = false;
          window.count();
          window.latency(Number(now - BigInt(at as string)) / 1000);
        }
        rest = rest.slice(rest.lastIndexOf('\n') + 1);
      },
    });
    socket.once('close', () => done || window.failure(new Error('the stream ended')));
    startedAt = performance.now();
    socket.write(requestOf(job));
    sockets.push(socket);
  }
  await window.run(job);
  done = true;
  const result = window.result({ numbers });
  for (const socket of sockets) socket.destroy();
  return result;
}

const STREAMS = 16;

/** `connections` sessions of 16 requests at once. */
export async function http2Streams(job: Job): Promise<JobResult> {
  const way = wayOf(job);
  const window = new Window(job.watch);
  const authority = `https://${hostNumber(0)}:${job.originPort}`;
  const sessions: ClientHttp2Session[] = [];
  let stopping = false;
  for (let i = 0; i < job.connections; i++) {
    const socket = await openConnection({ ...way, alpn: 'h2' });
    if (socket.alpnProtocol !== 'h2') throw new Error('HTTP/2 was not chosen');
    const session = connect(authority, { createConnection: () => socket });
    session.on('error', (error) => window.failure(error));
    sessions.push(session);
  }
  const loop = (session: ClientHttp2Session): void => {
    if (stopping || session.destroyed) return;
    const startedAt = performance.now();
    let bytes = 0;
    let status = 0;
    const stream = session.request({ ':path': job.path, 'user-agent': 'bench' });
    stream.on('response', (headers) => {
      status = Number(headers[':status']);
    });
    stream.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
    });
    stream.on('error', (error) => stopping || window.failure(error));
    stream.on('close', () => {
      if (status === 200) window.success(startedAt, bytes);
      else if (!stopping) window.failure(new Error(`answered ${status}`));
      setImmediate(loop, session);
    });
  };
  for (const session of sessions) for (let i = 0; i < STREAMS; i++) loop(session);
  await window.run(job);
  stopping = true;
  await waitMs(200);
  for (const session of sessions) session.destroy();
  return window.result();
}
