/** Limits that all hosts share: whole daemons of one vault, what they refuse, and what is left of a limit when the vault is away. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ExplainView } from '../../../src/api/explain.ts';
import type { QuotaView } from '../../../src/api/quotas.ts';
import type { EntryView, GrantView } from '../../../src/api/views.ts';
import type { QuotasAnswer } from '../../../src/domain/fleet-wire.ts';
import type { TestDaemon } from '../../helpers/daemon.ts';
import { temporaryDirectory } from '../../helpers/temporary.ts';
import { type Answer, startEcho, startEnrolled, through, until } from './enrolled.ts';
import { openRemote } from './remote.ts';
import { startVaultStage, type VaultStage } from './rig.ts';
import { sharedUse, spend } from './spending.ts';

const directory = temporaryDirectory();
let stage: VaultStage;
let echo: Awaited<ReturnType<typeof startEcho>>;
const daemons: TestDaemon[] = [];
const keys = new Map<string, string>();
const grants = new Map<string, string>();
const AGENTS = ['bot', 'lone', 'steady'] as const;

const send = <T>(path: string, body?: object): Promise<T> => stage.api.send<T>(path, body);
const limitOf = (agent: string, limit: string): string =>
  `name = "${agent}"\nlayer = "agent"\ntargets = ["${agent}"]\n[[rules]]\nname = "often"\neffect = "limit"\nlimit = ${limit}\n`;
const ask = (daemon: TestDaemon, agent: string): Promise<Answer> =>
  through(daemon, keys.get(agent) as string, `http://127.0.0.1:${echo.port}/`);
const times = (daemon: TestDaemon, agent: string, count: number): Promise<Answer[]> =>
  Promise.all(Array.from({ length: count }, () => ask(daemon, agent)));
const passed = (answers: readonly Answer[]): number => answers.filter(({ status }) => status === 200).length;
const quotas = async (): Promise<readonly QuotaView[]> =>
  (await stage.api.read<{ quotas: readonly QuotaView[] }>('/v1/quotas')).quotas;
const quotaOf = async (rule: string): Promise<QuotaView | undefined> => (await quotas()).find((each) => each.rule === rule);

beforeAll(async () => {
  stage = await startVaultStage(directory);
  echo = await startEcho();
  await send('/v1/secrets', { name: 'lent', provider: 'bearer', fields: { token: 'SEKRET-marker-quota' } });
  for (const name of AGENTS) {
    keys.set(name, (await send<{ key: string }>('/v1/agents', { name })).key);
    const where = { hosts: [`http://127.0.0.1:${echo.port}`], allow_private: true, allow_plaintext: true };
    const { grant } = await send<{ grant: GrantView }>('/v1/grants', { credential: 'lent', agent: name, ...where });
    grants.set(name, grant.id);
  }
  // Windows of a day, so that none ends while this runs but at midnight.
  await send('/v1/policies', { toml: limitOf('bot', '{ kind = "sliding_window", requests = 20, per = "1d" }') });
  await send('/v1/policies', { toml: limitOf('lone', '{ kind = "sliding_window", requests = 3, per = "1d", scope = "host" }') });
  await send('/v1/policies', { toml: limitOf('steady', '{ kind = "token_bucket", requests = 400, per = "1d" }') });
  for (const name of ['web-01', 'web-02']) daemons.push(await startEnrolled(stage, name, directory(), AGENTS));
}, 60_000);
afterAll(async () => {
  for (const daemon of daemons) await daemon.stop();
  await stage.stop();
  await echo.stop();
});

test('two hosts that are busy at once pass exactly what the limit lets through, and say whose limit it was', async () => {
  const [one, other] = daemons as [TestDaemon, TestDaemon];
  const answers = (await Promise.all([times(one, 'bot', 16), times(other, 'bot', 16)])).flat();
  let count = passed(answers);
  // A slice that one has left over is the other's as soon as it is given back.
  await until('all of it was used', async () => {
    const more = [await ask(one, 'bot'), await ask(other, 'bot')];
    answers.push(...more);
    count += passed(more);
    return count === 20 && passed(more) === 0;
  });
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200, 429]));
  const refused = await ask(one, 'bot');
  expect(refused).toMatchObject({ status: 429, error: 'rate_limited' });
  expect(JSON.parse(refused.text)).toMatchObject({
    policy_error: 'rate_limit_exceeded',
    rule: 'policy.bot/often',
    limit_scope: 'fleet',
    retry_after: expect.any(Number),
  });
  const { entries } = await one.api<{ entries: EntryView[] }>('GET', '/v1/audit?outcome=refused&limit=1');
  const { why } = await one.api<ExplainView>('GET', `/v1/explain/${entries[0]?.request_id}`);
  expect(why.join('\n')).toContain(
    'It lets through 20 requests in 86400 s (sliding window, counted for all hosts of the vault together)',
  );
  await until(
    'the vault knows all of it',
    async () => (await quotaOf('bot/often'))?.hosts.every(({ held }) => held === 0) === true,
  );
  const quota = (await quotaOf('bot/often')) as QuotaView;
  expect(quota).toMatchObject({ agent: 'bot', limit: 20, per_ms: 86_400_000, left: 0, grant_id: grants.get('bot') });
  expect(quota.hosts.map(({ host }) => host).sort()).toEqual(['web-01', 'web-02']);
  expect(quota.hosts.reduce((sum, { spent }) => sum + spent, 0)).toBe(20);
}, 30_000);

test('a limit of each host is counted by each host, and the vault knows nothing of it', async () => {
  expect(await Promise.all(daemons.map(async (daemon) => passed(await times(daemon, 'lone', 5))))).toEqual([3, 3]);
  const refused = await ask(daemons[0] as TestDaemon, 'lone');
  expect(JSON.parse(refused.text)).toMatchObject({ rule: 'policy.lone/often', limit_scope: 'host' });
  expect(await quotaOf('lone/often')).toBeUndefined();
});

test("a host's own file is about this host, whatever scope it says; what the vault shares is shared", async () => {
  const host = await stage.enroll('web-03');
  await send('/v1/hosts/web-03/assign', { agents: ['steady'] });
  mkdirSync(join(host.dir, 'policies'), { mode: 0o700 });
  writeFileSync(join(host.dir, 'policies', 'own.toml'), limitOf('own', '{ kind = "fixed_window", requests = 1, per = "1d" }'), {
    mode: 0o600,
  });
  const remote = await openRemote(stage, host);
  const [own, shared] = ['own/often', 'steady/often'].map((rule) => sharedUse(remote, rule, 'a', 'g'));
  expect([own, shared].map((use) => remote.quotas.covers(use as NonNullable<typeof use>))).toEqual([false, true]);
  await remote.close();
});

test('a host that stops gives back what it did not spend; one that crashed has spent it', async () => {
  const host = await stage.enroll('web-04');
  await send('/v1/hosts/web-04/assign', { agents: ['steady'] });
  const first = await openRemote(stage, host);
  const agentId = [...first.authority.agents.values()].find(({ name }) => name === 'steady')?.id as string;
  const grantId = grants.get('steady') as string;
  expect(await spend(first, sharedUse(first, 'steady/often', agentId, grantId), 10)).toBe(10);
  await first.close();
  const of = async () => (await quotaOf('steady/often'))?.hosts.find((each) => each.host === 'web-04')?.held ?? 0;
  expect([(await quotaOf('steady/often'))?.left, await of()]).toEqual([390, 0]);
  // Nobody hears of this slice again. Asked for once more by the same id it is the same one, whatever was wanted.
  const asked = { rule: 'steady/often', agent_id: agentId, grant_id: grantId, slice_id: 'slice-of-a-crash', settled: [] };
  const client = host.client();
  for (const want of [50, 1, 90]) {
    const { body } = await client.call<QuotasAnswer>('POST', '/v1/host/quotas', { asks: [{ ...asked, want }] });
    expect(body).toMatchObject({ quotas: [{ count: 50 }], failures: [] });
  }
  // What is not its own it can't use up.
  const others = { ...asked, slice_id: 'slice-of-another', want: 1, grant_id: grants.get('bot') };
  const { body } = await client.call<QuotasAnswer>('POST', '/v1/host/quotas', { asks: [others] });
  expect(body).toMatchObject({ quotas: [], failures: [{ problem: { error: 'not_found' } }] });
  expect([(await quotaOf('steady/often'))?.left, await of()]).toEqual([340, 50]);
});

test('while the vault is away what is in hand may be spent, and nothing more: refused, not counted by guess', async () => {
  const [one] = daemons as [TestDaemon];
  const { running } = one;
  const inHand = (): number => running.facts().vaultLink?.quotas.inHand ?? 0;
  await times(one, 'steady', 8);
  await stage.stop();
  await until('the host knows', () => running.facts().vaultLink?.state === 'away');
  const left = inHand();
  const answers: Answer[] = [];
  for (let i = 0; i < left + 2; i++) answers.push(await ask(one, 'steady'));
  expect(answers.map(({ status }) => status)).toEqual([...new Array<number>(left).fill(200), 503, 503]);
  expect(answers.at(-1)?.error).toBe('vault_unavailable');
  expect(JSON.parse(answers.at(-1)?.text ?? '')).toMatchObject({
    detail: expect.stringContaining("the limit steady/often, which all hosts share, can't be counted"),
  });
  const { entries } = await one.api<{ entries: EntryView[] }>('GET', '/v1/audit?outcome=refused&limit=1');
  expect(entries[0]).toMatchObject({ error: 'vault_unavailable', rule: 'policy.steady/often' });
  const { why, fix } = await one.api<ExplainView>('GET', `/v1/explain/${entries[0]?.request_id}`);
  expect(why.join('\n')).toContain('and the central vault, which counts it, did not answer');
  expect(fix.join('\n')).toContain('the same request once the vault answers');
}, 30_000);
