/** S-109: a placeholder that nobody has any reason to use is refused, and whoever uses it is told of: in rows, log, counts and notices. */
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { placeholderHash } from '../../src/domain/retired-placeholder.ts';
import { startTestDaemon } from '../helpers/daemon.ts';
import {
  expectRefusal,
  GOOD,
  RIVAL,
  type Row,
  SECRET,
  speakerFor,
  startWall,
  until,
  type Wall,
  type WallAgent,
} from './support/wall.ts';

interface Event extends Row {
  readonly details: { readonly why: string; readonly uses: number; readonly retired_at: number | null };
}

const HOUSE = `slug = "house"
name = "House"
kind = "static"
hosts = ["${GOOD}"]
evidence = "general"
placeholder = "ghp_{random:36}"
[[fields]]
name = "token"
label = "Token"
secret = true
[[inject]]
in = "header"
name = "Authorization"
template = "Bearer {token}"
`;

const dir = mkdtempSync(join(tmpdir(), 'alterd-retired-'));
const posted: { event: string; alarm: { agent: string } }[] = [];
const hook = createServer((request, response) => {
  const parts: Buffer[] = [];
  request.on('data', (part: Buffer) => parts.push(part));
  request.on('end', () => {
    posted.push(JSON.parse(Buffer.concat(parts).toString()) as (typeof posted)[number]);
    response.writeHead(204).end();
  });
});
let wall: Wall;
let owner: WallAgent;
/** Every placeholder that must not show anywhere but in the request. */
const retired: string[] = [];

beforeAll(async () => {
  hook.listen(0, '127.0.0.1');
  await once(hook, 'listening');
  writeFileSync(join(dir, 'key'), 'SEKRET-marker-signature-key\n', { mode: 0o600 });
  const url = `http://127.0.0.1:${(hook.address() as AddressInfo).port}/`;
  wall = await startWall({
    tables: `[approvals]\nwebhook_url = "${url}"\nwebhook_key_file = "${join(dir, 'key')}"\nwebhook_private = true`,
  });
  await wall.daemon.api('POST', '/v1/providers', { toml: HOUSE });
  await wall.daemon.api('POST', '/v1/secrets', { name: 'house', provider: 'house', fields: { token: SECRET } });
  owner = await wall.agent();
});
afterAll(async () => {
  await wall.stop();
  hook.close();
  rmSync(dir, { recursive: true, force: true });
});

const eventsOf = async (agent: WallAgent): Promise<Event[]> =>
  (await wall.daemon.api<{ entries: Event[] }>('GET', `/v1/audit?kind=event&agent=${agent.name}&limit=50`)).entries.filter(
    ({ action }) => String(action).startsWith('placeholder.'),
  );
const warnings = (agent: WallAgent): string[] =>
  wall.daemon.logged.filter((line) => line.includes('"level":"warn"') && line.includes(`"agent":"${agent.name}"`));
const bearer = (placeholder: string): string => `Authorization: Bearer ${placeholder}`;

/** An agent that has a good grant, and the placeholder of one that was ended in this way. */
async function victim(end: 'revoke' | 'remove' | 'agent', credential = 'demo'): Promise<{ bot: WallAgent; gone: WallAgent }> {
  const bot = await wall.agent();
  const gone = await wall.agent({ credential });
  if (end === 'revoke') await wall.daemon.api('POST', `/v1/grants/${gone.grantId}/revoke`);
  else if (end === 'remove') await wall.daemon.api('DELETE', `/v1/grants/${gone.grantId}`);
  else await wall.daemon.api('DELETE', `/v1/agents/${gone.name}`);
  retired.push(gone.placeholder);
  return { bot, gone };
}

it.each([
  ['of a grant that was revoked', 'revoke', 'demo', 'revoked'],
  ['of a grant that was removed', 'remove', 'demo', 'removed'],
  ['that looks like the vendor’s own, of a grant that was removed', 'remove', 'house', 'removed'],
  ['of an agent that was removed', 'agent', 'house', 'removed'],
] as const)('S-109 the placeholder %s is refused and raises an alarm', async (_what, end, credential, why) => {
  const { bot, gone } = await victim(end, credential);
  const before = wall.good.arrivals.length;
  const answer = await bot.ask('/', { headers: [bearer(gone.placeholder)] });
  expectRefusal(answer, 403, 'policy_violation', 'unknown_placeholder');
  expect(answer.body).not.toContain(gone.grantId);
  expect(wall.good.arrivals.length).toBe(before);
  await until(async () => (await eventsOf(bot)).length > 0);
  expect(await eventsOf(bot)).toMatchObject([
    {
      action: 'placeholder.retired_used',
      grant_id: gone.grantId,
      host: GOOD,
      details: { why, uses: 1, retired_at: expect.any(Number) },
    },
  ]);
  await until(() => posted.some(({ alarm }) => alarm.agent === bot.name));
  expect(posted.filter(({ alarm }) => alarm.agent === bot.name)).toMatchObject([
    { event: 'placeholder.retired_used', alarm: { why, grant_id: gone.grantId, host: GOOD, uses: 1 } },
  ]);
  expect(warnings(bot)).toHaveLength(1);
});

it('S-109 the agent whose grant it was raises it too, wherever the placeholder goes', async () => {
  const bot = await wall.agent();
  await wall.daemon.api('POST', `/v1/grants/${bot.grantId}/revoke`);
  retired.push(bot.placeholder);
  expectRefusal(await bot.ask('/', { headers: [bearer(bot.placeholder)] }), 403, 'grant_revoked');
  await until(async () => (await eventsOf(bot)).length === 1);
  const other = await victim('remove', 'house');
  const at = { connect: `${RIVAL}:443`, sni: RIVAL, host: RIVAL };
  expectRefusal(await bot.ask('/', { ...at, headers: [bearer(other.gone.placeholder)] }), 403, 'policy_violation');
  await until(async () => (await eventsOf(bot)).length === 2);
});

it.each<[string, (placeholder: string, good: string) => string[], number]>([
  ['as a user of Basic', (text) => [`Authorization: Basic ${Buffer.from(`${text}:x`).toString('base64')}`], 403],
  ['as an API key', (text) => [`X-Api-Key: ${text}`], 403],
  ['beside a good one', (text, good) => [bearer(good), `X-Api-Key: ${text}`], 400],
])('S-109 it is known %s', async (_where, headersOf, status) => {
  const { bot, gone } = await victim('remove', 'house');
  const answer = await bot.ask('/', { headers: headersOf(gone.placeholder, bot.placeholder) });
  expect(answer.status).toBe(status);
  await until(async () => (await eventsOf(bot)).length === 1);
});

it('S-109 the placeholder of another agent raises an alarm, and is answered like one that nobody minted', async () => {
  const bot = await wall.agent();
  const [foreign, unknown] = [
    await bot.ask('/', { headers: [bearer(owner.placeholder)] }),
    await bot.ask('/', { headers: [bearer(`${owner.placeholder.slice(0, -4)}zzzz`)] }),
  ].map((answer) => ({ ...answer.json(), request_id: null }));
  expect(foreign).toEqual(unknown);
  await until(async () => (await eventsOf(bot)).length > 0);
  expect(await eventsOf(bot)).toMatchObject([
    { action: 'placeholder.foreign_used', grant_id: owner.grantId, details: { why: 'foreign', retired_at: null } },
  ]);
});

it('S-109 an agent can’t flood: one alarm for one placeholder in a minute', async () => {
  const { bot, gone } = await victim('remove');
  for (let n = 0; n < 6; n++) await bot.ask('/', { headers: [bearer(gone.placeholder)] });
  await until(async () => (await eventsOf(bot)).length > 0);
  // The good placeholder and one that nobody minted raise none; when their rows are there, those before would be too.
  expect((await bot.ask('/', { headers: [bearer(bot.placeholder)] })).status).toBe(200);
  expect((await bot.ask('/', { headers: [bearer('alter_ph_made_up')] })).status).toBe(403);
  await wall.row({ agent: bot.name, outcome: 'success' });
  expect(await eventsOf(bot)).toHaveLength(1);
  expect(warnings(bot)).toHaveLength(1);
});

it('S-109 no row, log or notice shows a placeholder', async () => {
  const { entries } = await wall.daemon.api<{ entries: Row[] }>('GET', '/v1/audit?limit=1000');
  const seen = [JSON.stringify(entries), wall.daemon.logged.join('\n'), JSON.stringify(posted)];
  expect(retired.length).toBeGreaterThan(5);
  for (const placeholder of retired) for (const text of seen) expect(text).not.toContain(placeholder);
  expect(posted.length).toBeGreaterThan(5);
});

it('S-109 it is remembered over a restart, as a hash', async () => {
  const first = await startTestDaemon();
  const { home } = first;
  try {
    const { authorization } = await first.agent('bot');
    await first.api('POST', '/v1/providers', { toml: HOUSE });
    await first.api('POST', '/v1/secrets', { name: 'house', provider: 'house', fields: { token: SECRET } });
    const [gone] = await Promise.all(
      [0, 1].map(() =>
        first.api<{ grant: { id: string; placeholder: string } }>('POST', '/v1/grants', { credential: 'house', agent: 'bot' }),
      ),
    );
    const { id, placeholder } = (gone as { grant: { id: string; placeholder: string } }).grant;
    await first.api('DELETE', `/v1/grants/${id}`);
    await first.running.stop();
    const db = new Database(first.paths.vaultDb, { readonly: true });
    const kept = JSON.stringify([...db.prepare('select * from meta').iterate(), ...db.prepare('select * from grants').iterate()]);
    db.close();
    expect({ kept, placeholder: kept.includes(placeholder), hash: kept.includes(placeholderHash(placeholder)) }).toMatchObject({
      placeholder: false,
      hash: true,
    });
    const again = await startTestDaemon({ home });
    const answer = await speakerFor(again, authorization).ask('/', { headers: [bearer(placeholder)] });
    expectRefusal(answer, 403, 'policy_violation', 'unknown_placeholder');
    await until(() => again.logged.some((line) => line.includes('a retired placeholder was used') && line.includes(id)));
    await again.running.stop();
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
});
