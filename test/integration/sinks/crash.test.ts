import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { SinkConfig } from '../../../src/config/sink.ts';
import { parseAuthority } from '../../../src/domain/host.ts';
import { startRig, syslogReceiver, until } from './rig.ts';

const WRITER = fileURLToPath(new URL('./crash-writer.ts', import.meta.url));
let dir: string;
let child: ChildProcess | undefined;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'alterd-sink-crash-'));
});
afterEach(() => {
  child?.kill('SIGKILL');
  rmSync(dir, { recursive: true, force: true });
});

test('kill -9 loses nothing that was acknowledged; what comes twice is told by its request id and place', async () => {
  const receiver = await syslogReceiver();
  const base = { from: 'start', allowPrivate: true } as const;
  const sinks: SinkConfig[] = [
    { ...base, name: 'file', kind: 'file', file: join(dir, 'rows.jsonl'), maxBytes: 1e9, keep: 1 },
    {
      ...base,
      name: 'tcp',
      kind: 'syslog',
      transport: 'tcp',
      destination: parseAuthority(`127.0.0.1:${receiver.port}`, 'http'),
      path: '',
    },
  ];
  const acknowledged = new Set<string>();
  const spawned = spawn(process.execPath, ['--import', 'tsx', WRITER, dir, JSON.stringify(sinks)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  child = spawned;
  const exit = once(spawned, 'exit');
  for await (const line of createInterface({ input: spawned.stdout })) {
    for (const id of line.split(' ')) acknowledged.add(id);
    // While rows are on their way: some were delivered, more are due.
    if (receiver.messages.length > 200 && acknowledged.size > receiver.messages.length) spawned.kill('SIGKILL');
  }
  await exit;
  const before = receiver.messages.length;
  const rig = await startRig(sinks, { dir });
  const { rows } = await rig.journal.stats();
  await until(() => rig.sinks.status.every(({ n, lag }) => n >= rows && lag === 0));
  await rig.stop();
  await receiver.close();
  expect(before).toBeGreaterThan(200);
  const delivered = [
    readFileSync(join(dir, 'rows.jsonl'), 'latin1').split('\n').slice(0, -1),
    receiver.messages.map(({ json }) => json),
  ];
  for (const lines of delivered) {
    const byId = new Map<string, Set<string>>();
    for (const line of lines) {
      const { request_id: id } = JSON.parse(line) as { request_id: string };
      byId.set(id, (byId.get(id) ?? new Set()).add(line));
    }
    expect([...acknowledged].filter((id) => !byId.has(id))).toEqual([]);
    // The same row every time, place and hash included.
    expect([...byId.values()].every((same) => same.size === 1)).toBe(true);
    expect(byId.size).toBe(rows);
  }
});
