/** Audit rows of a host at its vault: all of them, once and in order, through outages; and a stop when they can't be sent. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { StatusView } from '../../../src/api/status.ts';
import type { TestDaemon } from '../../helpers/daemon.ts';
import { temporaryDirectory } from '../../helpers/temporary.ts';
import { startEcho, startEnrolled, through, until } from './enrolled.ts';
import { startVaultStage, type VaultStage } from './rig.ts';

interface Rows {
  readonly journal: string | null;
  readonly rows: readonly { readonly line: string }[];
}

const directory = temporaryDirectory();
let stage: VaultStage;
let daemon: TestDaemon;
let echo: Awaited<ReturnType<typeof startEcho>>;

const rowsAtVault = (after = 0): Promise<Rows> => stage.api.read<Rows>(`/v1/hosts/web-01/audit?limit=1000&after=${after}`);
const rowsOf = async (): Promise<number[]> => (await rowsAtVault()).rows.map(({ line }) => (JSON.parse(line) as { n: number }).n);

beforeAll(async () => {
  stage = await startVaultStage(directory);
  echo = await startEcho();
  daemon = await startEnrolled(stage, 'web-01', directory(), []);
});
afterAll(async () => {
  await daemon.stop();
  await stage.stop();
  await echo.stop();
});

test('the rows of requests through a host stand at the vault, without a gap and with the hash of before', async () => {
  for (let i = 0; i < 5; i++) await through(daemon, 'alk_no-such-key', `http://127.0.0.1:${echo.port}/`);
  const own = await daemon.api<{ entries: { n: number | null; hash: string | null }[] }>(
    'GET',
    '/v1/audit?limit=200&order=oldest',
  );
  const closed = own.entries.filter(({ n }) => n !== null);
  expect(closed.length).toBeGreaterThanOrEqual(5);
  await until('the rows are there', async () => (await rowsOf()).length >= closed.length);
  const { rows } = await rowsAtVault();
  const kept = rows.map(({ line }) => JSON.parse(line) as { n: number; hash: string });
  expect(kept.map(({ n }) => n)).toEqual(kept.map((_row, i) => i + 1));
  for (const { n, hash } of closed) expect(kept[(n as number) - 1]?.hash).toBe(hash);
  const { sinks } = await daemon.api<StatusView>('GET', '/v1/status');
  expect(sinks.find(({ kind }) => kind === 'vault')).toMatchObject({ name: 'central-vault', error: null });
});

test('a host that changes a row, or leaves one out, is refused, and that stands in the audit of the vault', async () => {
  const host = await stage.enroll('liar');
  const { rows } = await rowsAtVault();
  const [first = '', second = '', third = ''] = rows.map(({ line }) => line);
  const client = host.client();
  const ship = (lines: string[], gap = false) =>
    client.call<{ accepted_up_to: number }>('POST', '/v1/host/audit', { chain: 'c', lines, gap });
  await expect(ship([first.replace('"outcome":"', '"outcome":"x')])).rejects.toMatchObject({ code: 'conflict' });
  await expect(ship([first, third])).rejects.toMatchObject({ code: 'conflict' });
  expect((await ship([])).body).toEqual({ accepted_up_to: 0 });
  expect((await ship([first, second])).body).toEqual({ accepted_up_to: 2 });
  const { entries } = await stage.api.read<{ entries: { action: string; details: { host?: string } | null }[] }>(
    '/v1/audit?limit=100',
  );
  expect(entries.filter(({ action }) => action === 'host.audit_refused').map(({ details }) => details?.host)).toContain('liar');
});

test('while the vault is away rows wait, beyond the bound nothing new begins; then all arrive, once and in order', async () => {
  const home = directory();
  mkdirSync(join(home, 'config'), { recursive: true, mode: 0o700 });
  writeFileSync(join(home, 'config', 'alterd.toml'), '[vault]\nmax_unsent_rows = 20\n');
  const vaultHome = directory();
  const first = await startVaultStage(directory, { home: vaultHome });
  const url = `http://127.0.0.1:${echo.port}/`;
  await first.api.send('/v1/secrets', { name: 'echo', provider: 'bearer', fields: { token: 'SEKRET-marker-shipped' } });
  const { key } = await first.api.send<{ key: string }>('/v1/agents', { name: 'bot' });
  const open = { allow_private: true, allow_plaintext: true };
  await first.api.send('/v1/grants', { credential: 'echo', agent: 'bot', hosts: [url.slice(0, -1)], ...open });
  const host = await startEnrolled(first, 'web-01', home, ['bot']);
  const waiting = async (): Promise<number> => {
    const { sinks } = await host.api<StatusView>('GET', '/v1/status');
    return sinks.find(({ kind }) => kind === 'vault')?.lag ?? -1;
  };
  expect((await through(host, key, url)).status).toBe(200);
  await until('what there is has arrived', async () => (await waiting()) === 0);
  await first.stop();
  let served = 0;
  await until('the bound is met', async () => {
    const answer = await through(host, key, url);
    if (answer.status === 200) served++;
    else expect([answer.status, answer.error]).toEqual([503, 'audit_unavailable']);
    return answer.status !== 200;
  });
  expect(served).toBeGreaterThanOrEqual(10);
  const again = await startVaultStage(directory, { home: vaultHome, listen: first.server.address });
  await until('all have arrived', async () => (await waiting()) === 0);
  expect((await through(host, key, url)).status).toBe(200);
  await host.stop();
  const { rows } = await again.api.read<Rows>('/v1/hosts/web-01/audit?limit=1000');
  const kept = rows.map(({ line }) => JSON.parse(line) as { n: number; action: string; status?: number });
  expect(kept.map(({ n }) => n)).toEqual(kept.map((_row, i) => i + 1));
  expect(kept.filter(({ action, status }) => action === 'api.call' && status === 200)).toHaveLength(served + 2);
  expect(kept.at(-1)?.action).toBe('daemon.stopped');
  await again.stop();
});
