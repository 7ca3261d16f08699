/** What a person lets pass without being asked each time: for those calls alone, over restarts, and no longer than what it rests on. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { PermitView } from '../../src/api/permits.ts';
import { startTestDaemon, type TestDaemon } from '../helpers/daemon.ts';
import { startOrigin, type TestOrigin } from '../helpers/origin.ts';
import { makePki, type TestPki } from '../helpers/pki.ts';
import { expectRefusal, GOOD, SECRET, speakerFor } from './support/wall.ts';

type Ask = ReturnType<typeof speakerFor>['ask'];

let pki: TestPki;
let origin: TestOrigin;
const homes: string[] = [];
let daemon: TestDaemon;

beforeAll(async () => {
  pki = makePki();
  origin = await startOrigin(pki);
});
afterAll(async () => {
  await daemon.running.stop();
  await origin.close();
  for (const home of [...homes, pki.dir]) rmSync(home, { recursive: true, force: true });
});

async function start(home?: string): Promise<void> {
  const at = home ?? mkdtempSync(join(tmpdir(), 'alterd-permits-'));
  if (home === undefined) homes.push(at);
  daemon = await startTestDaemon({
    home: at,
    config: `egress = "ask"\n[upstream]\nca_file = "${pki.caFile}"\nresolve = { "${GOOD}:443" = "127.0.0.1:${origin.port}" }\n[approvals]\nhold_ms = 0\n`,
  });
}

async function restart(): Promise<void> {
  await daemon.running.stop();
  await start(daemon.home);
}

interface Bot {
  readonly name: string;
  readonly grantId: string;
  readonly authorization: string;
}

let count = 0;
async function bot(): Promise<Bot> {
  const name = `bot-${++count}`;
  const { authorization } = await daemon.agent(name);
  const secret = { name: `demo-${count}`, provider: 'bearer', fields: { token: SECRET } };
  await daemon.api('POST', '/v1/secrets', secret);
  const { grant } = await daemon.api<{ grant: { id: string } }>('POST', '/v1/grants', {
    credential: secret.name,
    agent: name,
    hosts: [GOOD],
    allow_private: true,
    approval: ['*'],
  });
  return { name, grantId: grant.id, authorization };
}

const asks = (who: Bot): Ask => speakerFor(daemon, who.authorization).ask;
const permits = async (): Promise<PermitView[]> => (await daemon.api<{ permits: PermitView[] }>('GET', '/v1/permits')).permits;

/** Asks, and has the question answered. */
async function approve(who: Bot, target: string, method: string, body: object): Promise<void> {
  const pending = await asks(who)(target, { method });
  expectRefusal(pending, 403, 'approval_pending');
  await daemon.api('POST', `/v1/approvals/${pending.json().approval_id as string}/approve`, body);
}

const actions = async (): Promise<string[]> =>
  (await daemon.api<{ entries: { action: string }[] }>('GET', '/v1/audit?limit=200')).entries.map((row) => row.action);

it('a call that was approved as a rule passes again and again, also after a restart, and no other call does', async () => {
  await start();
  const who = await bot();
  await approve(who, '/items?page=1', 'POST', { as_rule: true });
  await approve(who, '/hourly', 'GET', { for_ms: 3_600_000 });
  await restart();
  const ask = asks(who);
  for (const target of ['/items', '/items?page=2', '/%69tems'])
    expect((await ask(target, { method: 'POST', body: 'x' })).status).toBe(200);
  expect((await ask('/hourly')).status).toBe(200);
  const row = await daemon.api<{ entries: { path: string; details: object }[] }>('GET', '/v1/audit?limit=1');
  const [standing, timed] = await permits();
  expect(row.entries[0]).toMatchObject({ details: { approval: timed?.id, approved_by: expect.stringContaining('operator') } });
  expect(standing).toMatchObject({ agent: who.name, grant_id: who.grantId, method: 'POST', path: '/items', expires_at: null });
  expect(Date.parse(timed?.expires_at ?? '')).toBeGreaterThan(Date.now());
  const before = origin.arrivals.length;
  for (const [target, options] of [
    ['/items', { method: 'DELETE' }],
    ['/items/1', { method: 'POST' }],
    ['/items', { method: 'POST', headers: ['X-HTTP-Method-Override: DELETE'] }],
    ['/items?_method=delete', { method: 'POST' }],
  ] as const)
    expectRefusal(await ask(target, options), 403, 'approval_pending');
  expectRefusal(await asks(await bot())('/items', { method: 'POST' }), 403, 'approval_pending');
  expect(origin.arrivals.length).toBe(before);
});

it('an approval for one request leaves no permit behind', async () => {
  const who = await bot();
  const before = await permits();
  await approve(who, '/once', 'POST', {});
  expect((await asks(who)('/once', { method: 'POST' })).status).toBe(200);
  expectRefusal(await asks(who)('/once', { method: 'POST' }), 403, 'approval_pending');
  expect(await permits()).toEqual(before);
  await restart();
  expectRefusal(await asks(who)('/once', { method: 'POST' }), 403, 'approval_pending');
});

it('a rule has no end, and a denied question makes none', async () => {
  const who = await bot();
  const pending = await asks(who)('/both');
  const path = `/v1/approvals/${pending.json().approval_id as string}`;
  await expect(daemon.api('POST', `${path}/approve`, { as_rule: true, for_ms: 60_000 })).rejects.toThrow(/422/);
  await daemon.api('POST', `${path}/deny`, {});
  await expect(daemon.api('POST', `${path}/approve`, { as_rule: true })).rejects.toThrow(/409/);
  expect((await permits()).some((each) => each.path === '/both')).toBe(false);
});

it('a revoked permit lets nothing pass, at once and after a restart', async () => {
  const who = await bot();
  await approve(who, '/revoked', 'GET', { as_rule: true });
  expect((await asks(who)('/revoked')).status).toBe(200);
  const { id } = (await permits()).find((each) => each.path === '/revoked') as PermitView;
  await daemon.api('POST', `/v1/permits/${id}/revoke`);
  expectRefusal(await asks(who)('/revoked'), 403, 'approval_pending');
  await expect(daemon.api('POST', `/v1/permits/${id}/revoke`)).rejects.toThrow(/404/);
  await restart();
  expectRefusal(await asks(who)('/revoked'), 403, 'approval_pending');
  expect(await actions()).toEqual(expect.arrayContaining(['permit.created', 'permit.revoked']));
});

it('a permit ends with its agent and its grant', async () => {
  const [first, second, third] = [await bot(), await bot(), await bot()];
  for (const who of [first, second, third]) await approve(who, '/ends', 'GET', { as_rule: true });
  const left = async (): Promise<string[]> => (await permits()).filter((each) => each.path === '/ends').map((each) => each.agent);
  expect(await left()).toEqual([first.name, second.name, third.name]);
  await daemon.api('POST', `/v1/grants/${first.grantId}/revoke`);
  expect(await left()).toEqual([second.name, third.name]);
  await daemon.api('DELETE', `/v1/grants/${second.grantId}`);
  expect(await left()).toEqual([third.name]);
  await daemon.api('POST', `/v1/agents/${third.name}/status`, { status: 'revoked' });
  expect(await left()).toEqual([]);
  await expect.poll(actions).toContain('permit.ended');
  await restart();
  expect(await left()).toEqual([]);
});

it('a permit for a host without a grant is for that host', async () => {
  const who = await bot();
  const speaker = (): ReturnType<typeof speakerFor> => speakerFor(daemon, who.authorization);
  const { answer } = await speaker().connect('elsewhere.test:443');
  expectRefusal(answer, 403, 'approval_pending');
  await daemon.api('POST', `/v1/approvals/${answer.json().approval_id as string}/approve`, { as_rule: true });
  expect(await permits()).toContainEqual(
    expect.objectContaining({ origin: 'https://elsewhere.test:443', path: null, rule: 'egress.ask' }),
  );
  await restart();
  // Nothing answers there; but nobody is asked.
  const again = await speaker().connect('elsewhere.test:443');
  expect(again.answer.header('alter-error')).not.toBe('approval_pending');
  expect((await speaker().connect('other.test:443')).answer.header('alter-error')).toBe('approval_pending');
});

it('a permit that somebody else writes into the database keeps the vault from opening', async () => {
  await daemon.running.stop();
  const db = new Database(daemon.paths.vaultDb);
  db.prepare(`update permits set path = '/' where id in (select id from permits where path is not null limit 1)`).run();
  db.close();
  await expect(start(daemon.home)).rejects.toThrow(/vault/i);
  await start();
});
