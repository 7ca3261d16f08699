/** Audit rows of a host at its vault: all of them, once and in order, through outages; and a stop when they can't be sent. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { StatusView } from '../../../src/api/status.ts';
import { VaultShipper } from '../../../src/sinks/vault-shipper.ts';
import type { TestDaemon } from '../../helpers/daemon.ts';
import { temporaryDirectory } from '../../helpers/temporary.ts';
import { closing, opening, place } from '../journal/samples.ts';
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

test('while the vault is away rows wait; beyond the bound nothing new begins; then all arrive once, in order', async () => {
  const spot = place();
  const journal = await spot.open();
  const kept: number[] = [];
  let away = true;
  const shipper = new VaultShipper({
    feed: journal.feed(),
    send: async ({ lines }) => {
      if (away) throw new Error('away');
      for (const line of lines) kept.push((JSON.parse(line) as { n: number }).n);
      return kept.at(-1) ?? 0;
    },
    maxWaiting: 10,
    onTrouble: () => {},
  });
  const guarded = shipper.guard(journal);
  const open = async (): Promise<void> => {
    const ticket = await guarded.open(opening());
    ticket.close(closing());
  };
  for (let i = 0; i < 10; i++) await open();
  await journal.stats();
  await until('they are seen to wait', async () => shipper.status.lag >= 10);
  await expect(open()).rejects.toMatchObject({ code: 'audit_unavailable' });
  away = false;
  await until('they have arrived', async () => shipper.status.lag === 0);
  expect(kept).toEqual(Array.from({ length: 10 }, (_, i) => i + 1));
  await open();
  await journal.stats();
  await until('the next one too', async () => kept.length === 11);
  await shipper.close(1_000);
  await journal.close();
  spot.remove();
});
