/** Who is asking and for whom: tokens that prove nothing, users who are mixed up, and access that outlives its reason. */
import { createHmac } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ANNA_SECRET, askAs, BEN_SECRET, type PeopleWall, startPeopleWall, TEAM_SECRET } from './support/people.ts';
import { expectRefusal, GOOD, leaks, valuesOf, type WallAgent } from './support/wall.ts';
import { type RawOrigin, readAnswer, readRequest, startRawOrigin } from './support/wire.ts';

let wall: PeopleWall;
let anna: string;
let ben: string;

beforeAll(async () => {
  wall = await startPeopleWall();
  [anna, ben] = await Promise.all([wall.userId('anna'), wall.userId('ben')]);
});
afterAll(() => wall.stop());

const last = () => wall.good.arrivals.at(-1)!;
const sentSecret = (): string => valuesOf(last().rawHeaders, 'authorization').join();
const bearer = (secret: string): string => `Bearer ${secret}`;
const base64 = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');

/** An agent to which both delegated. */
async function sharedAgent(): Promise<{ bot: WallAgent; grants: [string, string]; delegations: [string, string] }> {
  const bot = await wall.agent(null);
  const grants: [string, string] = [await wall.grant('anna', { user: anna }), await wall.grant('ben', { user: ben })];
  const delegations: [string, string] = [await wall.delegate(grants[0], bot), await wall.delegate(grants[1], bot)];
  return { bot, grants, delegations };
}

/** Nothing reached the provider while `work` ran. */
async function nothingLeaves<T>(work: () => Promise<T>): Promise<T> {
  const before = wall.good.arrivals.length;
  const result = await work();
  expect(wall.good.arrivals.length).toBe(before);
  return result;
}

describe('tokens', () => {
  const forged: [string, () => Promise<string> | string, string][] = [
    ['that has expired', () => wall.issuer.token('anna', { expiresIn: -60 }), 'expired'],
    ['for another audience', () => wall.issuer.token('anna', { audience: 'other' }), 'audience'],
    ['of an unknown issuer', () => wall.issuer.token('anna', { issuer: 'https://evil.test' }), 'issuer that is not known'],
    ['with an unknown key id', () => wall.issuer.token('anna', { kid: 'made-up' }), 'key that its issuer does not show'],
    ['without a signature', () => unsigned('none', ''), 'algorithm that is not allowed'],
    ['signed with a shared secret', () => unsigned('HS256', 'alterd'), 'algorithm that is not allowed'],
    ['with claims that were changed', async () => changed(await wall.issuer.token('ben')), 'signature'],
    ['that is none', () => 'anna', 'no signed JWT'],
    ['that is empty', () => '', 'no signed JWT'],
  ];
  const unsigned = (alg: string, secret: string): string => {
    const claims = { iss: wall.issuer.url, sub: 'anna', aud: 'alterd', exp: Math.floor(Date.now() / 1000) + 60 };
    const text = `${base64({ alg })}.${base64(claims)}`;
    return `${text}.${secret === '' ? '' : createHmac('sha256', secret).update(text).digest('base64url')}`;
  };
  const changed = (token: string): string => {
    const [head, body = '', signature] = token.split('.');
    const claims = JSON.parse(Buffer.from(body, 'base64url').toString()) as object;
    return [head, base64({ ...claims, sub: 'anna' }), signature].join('.');
  };

  it.each(forged)('one %s opens nothing, says why, and is recorded', async (_what, make, reason) => {
    const { bot } = await sharedAgent();
    const token = await make();
    const answer = await nothingLeaves(() => askAs(bot, token));
    expectRefusal(answer, 403, 're_auth_required');
    expect(answer.json().detail).toContain(reason);
    if (token.length > 20) expect(answer.body).not.toContain(token);
    await wall.row({ agent: bot.name, error: 're_auth_required', outcome: 'refused', user_id: null });
  });

  it('made-up key ids ask the issuer for its keys only once in a while', async () => {
    const { bot } = await sharedAgent();
    expect((await askAs(bot, await wall.issuer.token('anna'))).status).toBe(200);
    const before = wall.issuer.asked.filter((path) => path.endsWith('/jwks')).length;
    for (const kid of ['x1', 'x2', 'x3'])
      expectRefusal(await askAs(bot, await wall.issuer.token('anna', { kid })), 403, 're_auth_required');
    expect(wall.issuer.asked.filter((path) => path.endsWith('/jwks')).length - before).toBeLessThanOrEqual(1);
  });

  it('two tokens in one request are refused, whichever comes first', async () => {
    const { bot } = await sharedAgent();
    const [one, two] = [await wall.issuer.token('anna'), await wall.issuer.token('ben')];
    const headers = [`Alter-User-Token: ${one}`, `X-Alter-User-Token: ${two}`];
    expectRefusal(await nothingLeaves(() => bot.ask('/', { headers })), 400, 'malformed_request');
    expectRefusal(await nothingLeaves(() => bot.ask('/', { headers: headers.toReversed() })), 400, 'malformed_request');
  });

  it('neither spelling of the header leaves, and no token is in a log or a row', async () => {
    const { bot } = await sharedAgent();
    const token = await wall.issuer.token('anna');
    for (const name of ['Alter-User-Token', 'x-alter-user-token']) {
      expect((await bot.ask('/', { headers: [`${name}: ${token}`] })).status).toBe(200);
      expect(last().rawHeaders.join('\n').toLowerCase()).not.toContain('alter');
      expect(sentSecret()).toBe(bearer(ANNA_SECRET));
    }
    const row = await wall.row({ agent: bot.name, outcome: 'success', status: 200 });
    expect(row).toMatchObject({ user_id: anna, user: 'anna@good.test', principal_type: 'user', group: null });
    const { entries } = await wall.daemon.api<{ entries: object[] }>('GET', '/v1/audit?limit=1000');
    const everything = JSON.stringify(entries) + wall.daemon.logged.join('\n');
    expect(everything).not.toContain(token.slice(-40));
    expect(leaks(everything, [ANNA_SECRET, BEN_SECRET, TEAM_SECRET])).toEqual([]);
  });

  it('a new key of the issuer is found, and the old one is forgotten with it', async () => {
    const { bot } = await sharedAgent();
    const old = await wall.issuer.token('anna', { claims: { jti: 'never seen' } });
    await wall.issuer.rotate();
    await wall.daemon.running.reload();
    expect((await askAs(bot, await wall.issuer.token('anna'))).status).toBe(200);
    expectRefusal(await nothingLeaves(() => askAs(bot, old)), 403, 're_auth_required');
  });
});

describe('two users and one agent', () => {
  it('200 requests at once get the credential of their own user, and never the other', async () => {
    const { bot, delegations } = await sharedAgent();
    const tokens = { anna: await wall.issuer.token('anna'), ben: await wall.issuer.token('ben') };
    const before = wall.good.arrivals.length;
    const asked = Array.from({ length: 200 }, (_, n) => (n % 3 === 0 ? 'ben' : 'anna') as 'anna' | 'ben');
    const answers = await Promise.all(asked.map((who, n) => askAs(bot, tokens[who], `/mixed/${who}/${n}`)));
    expect(answers.map((answer) => answer.status)).toEqual(asked.map(() => 200));
    const arrivals = wall.good.arrivals.slice(before);
    expect(new Set(arrivals.map(({ url }) => url)).size).toBe(200);
    const wrong = arrivals.filter(
      ({ url, rawHeaders }) =>
        valuesOf(rawHeaders, 'authorization').join() !== bearer(url.startsWith('/mixed/ben/') ? BEN_SECRET : ANNA_SECRET),
    );
    expect(wrong.map(({ url }) => url)).toEqual([]);
    const rows = [await wall.row({ agent: bot.name, user_id: ben }), await wall.row({ agent: bot.name, user_id: anna })];
    expect(rows.map((row) => row.delegation_id)).toEqual([delegations[1], delegations[0]]);
  });

  it('users that take turns in one tunnel are told apart', async () => {
    const { bot } = await sharedAgent();
    const tokens = { anna: await wall.issuer.token('anna'), ben: await wall.issuer.token('ben') };
    const wire = await bot.open();
    for (const who of ['anna', 'ben', 'ben', 'anna'] as const) {
      wire.write(`GET /turn HTTP/1.1\r\nHost: ${GOOD}\r\nAlter-User-Token: ${tokens[who]}\r\n\r\n`);
      expect((await readAnswer(wire)).status).toBe(200);
      expect(sentSecret()).toBe(bearer(who === 'ben' ? BEN_SECRET : ANNA_SECRET));
    }
    wire.write(`GET /turn HTTP/1.1\r\nHost: ${GOOD}\r\n\r\n`);
    expectRefusal(await readAnswer(wire), 403, 'ambiguous_grant');
    wire.socket.destroy();
  });

  it('without a user nothing is guessed, and naming a grant does not help', async () => {
    const { bot, grants } = await sharedAgent();
    const answer = await nothingLeaves(() => askAs(bot, null));
    expectRefusal(answer, 403, 'ambiguous_grant');
    expect(answer.body).not.toMatch(/good\.test@|anna@|ben@/);
    const named = await nothingLeaves(() => bot.ask('/', { headers: [`Alter-Grant-Id: ${grants[0]}`] }));
    expectRefusal(named, 403, 'ambiguous_grant');
  });

  it("naming the other user's grant with a token of one's own does not help either", async () => {
    const { bot, grants } = await sharedAgent();
    const headers = [`Alter-User-Token: ${await wall.issuer.token('anna')}`, `Alter-Grant-Id: ${grants[1]}`];
    const answer = await nothingLeaves(() => bot.ask('/', { headers }));
    expectRefusal(answer, 403, 'grant_not_found');
    expect(answer.json().hint).not.toContain(grants[1].slice(9));
  });

  it('the only user who delegated is meant without saying so, until a second one does, even one who is deactivated', async () => {
    const bot = await wall.agent(null);
    await wall.delegate(await wall.grant('anna', { user: anna }), bot);
    expect((await askAs(bot, null)).status).toBe(200);
    expect(sentSecret()).toBe(bearer(ANNA_SECRET));
    await wall.delegate(await wall.grant('ben', { user: ben }), bot);
    await wall.daemon.api('POST', `/v1/users/${ben}/status`, { status: 'deactivated' });
    expectRefusal(await nothingLeaves(() => askAs(bot, null)), 403, 'ambiguous_grant');
    await wall.daemon.api('POST', `/v1/users/${ben}/status`, { status: 'active' });
  });

  it("a user's grant is of no use to an agent without a delegation, nor to another agent", async () => {
    const { bot } = await sharedAgent();
    const stranger = await wall.agent(null);
    const token = await wall.issuer.token('anna');
    expect((await askAs(bot, token)).status).toBe(200);
    expectRefusal(await nothingLeaves(() => askAs(stranger, token)), 403, 'no_delegated_grant');
    expectRefusal(await nothingLeaves(() => askAs(stranger, null)), 403, 'grant_not_found');
  });

  it("an agent's own grant comes first, a user's before a group's, a group's before the system's", async () => {
    const bot = await wall.agent(null);
    const token = await wall.issuer.token('anna');
    const system = await wall.grant('demo', { system: true }, { hosts: ['rank.good.test'] });
    const team = await wall.grant('team', { group: 'writers' });
    await wall.delegate(team, bot);
    expect((await askAs(bot, token)).status).toBe(200);
    expect(sentSecret()).toBe(bearer(TEAM_SECRET));
    expect(await wall.row({ agent: bot.name, status: 200 })).toMatchObject({ principal_type: 'group', group: 'writers' });
    await wall.delegate(await wall.grant('anna', { user: anna }), bot);
    expect((await askAs(bot, token)).status).toBe(200);
    expect(sentSecret()).toBe(bearer(ANNA_SECRET));
    await wall.grant('rival', { agent: bot.name });
    expect((await askAs(bot, token)).status).toBe(200);
    expect(sentSecret()).toMatch(/SEKRET-rival/);
    await wall.daemon.api('DELETE', `/v1/grants/${system}`);
  });
});

describe('one proxy URL for each user', () => {
  const open = async (bot: WallAgent, body: object): Promise<WallAgent> => {
    const { key } = await wall.daemon.api<{ key: string }>('POST', '/v1/sessions', { agent: bot.name, ...body });
    return wall.as(bot, key);
  };

  it('a session is its user, and takes no token of another', async () => {
    const { bot } = await sharedAgent();
    const hers = await open(bot, { user_token: await wall.issuer.token('anna') });
    const his = await open(bot, { user: 'ben@good.test' });
    expect((await askAs(hers, null)).status).toBe(200);
    expect(sentSecret()).toBe(bearer(ANNA_SECRET));
    expect((await askAs(his, await wall.issuer.token('ben'))).status).toBe(200);
    expect(sentSecret()).toBe(bearer(BEN_SECRET));
    const mixed = await nothingLeaves(async () => askAs(his, await wall.issuer.token('anna')));
    expectRefusal(mixed, 403, 'policy_violation', 'user_mismatch');
  });

  it('a session that a token proved ends with the token', async () => {
    const { bot } = await sharedAgent();
    const { expires_at } = await wall.daemon.api<{ expires_at: string }>('POST', '/v1/sessions', {
      agent: bot.name,
      user_token: await wall.issuer.token('anna', { expiresIn: 90 }),
      ttl_ms: 3_600_000,
    });
    expect(Date.parse(expires_at) - Date.now()).toBeLessThanOrEqual(90_000);
  });
});

describe('access ends', () => {
  let raw: RawOrigin;
  const RAW = 'raw.good.test';
  beforeAll(async () => {
    raw = await startRawOrigin(wall.pki);
    await wall.route(RAW, raw.port);
  });
  afterAll(() => raw.close());

  let people = 0;
  const deactivate = (id: string) => wall.daemon.api('POST', `/v1/users/${id}/status`, { status: 'deactivated' });
  const activate = (id: string) => wall.daemon.api('POST', `/v1/users/${id}/status`, { status: 'active' });

  interface Ending {
    readonly bot: WallAgent;
    readonly token: string;
    readonly end: () => Promise<unknown>;
    readonly undo?: () => Promise<unknown>;
  }
  const WS =
    'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';

  const delegated = async (): Promise<{ bot: WallAgent; token: string; grant: string; delegation: string }> => {
    const bot = await wall.agent(null);
    const grant = await wall.grant('anna', { user: anna }, { hosts: [GOOD, RAW] });
    return { bot, grant, token: await wall.issuer.token('anna'), delegation: await wall.delegate(grant, bot) };
  };
  const ways: [string, () => Promise<Ending>, string][] = [
    [
      'the user is deactivated',
      async () => ({ ...(await delegated()), end: () => deactivate(anna), undo: () => activate(anna) }),
      'policy_violation',
    ],
    [
      'the delegation is revoked',
      async () => {
        const all = await delegated();
        return { ...all, end: () => wall.daemon.api('POST', `/v1/delegations/${all.delegation}/revoke`) };
      },
      'no_delegated_grant',
    ],
    [
      'the agent gives it back',
      async () => {
        const all = await delegated();
        return { ...all, end: () => dropOwn(all.bot, all.delegation) };
      },
      'no_delegated_grant',
    ],
    [
      'the grant is revoked',
      async () => {
        const all = await delegated();
        return { ...all, end: () => wall.daemon.api('POST', `/v1/grants/${all.grant}/revoke`) };
      },
      'no_delegated_grant',
    ],
    [
      'the agent is revoked',
      async () => {
        const all = await delegated();
        return { ...all, end: () => wall.daemon.api('POST', `/v1/agents/${all.bot.name}/status`, { status: 'revoked' }) };
      },
      'policy_violation',
    ],
    [
      'the user leaves the group',
      async () => {
        const carl = `carl-${++people}`;
        wall.issuer.people.set(carl, { email: `${carl}@good.test`, groups: ['ops'] });
        const now = Math.floor(Date.now() / 1000);
        const bot = await wall.agent(null);
        await wall.delegate(await wall.grant('team', { group: 'ops' }, { hosts: [GOOD, RAW] }), bot);
        const token = await wall.issuer.token(carl, { issuedAt: now - 10 });
        const newer = await wall.issuer.token(carl, { issuedAt: now - 5, claims: { groups: [] } });
        // Whoever sends it: the newest token of the user is what counts for all of them.
        return { bot, token, end: async () => void (await askAs(bot, newer)) };
      },
      'no_delegated_grant',
    ],
  ];
  const dropOwn = async (bot: WallAgent, id: string) => {
    const wire = await bot.open({ connect: 'alterd.internal:443', sni: 'alterd.internal' });
    wire.write(`DELETE /delegations/${id} HTTP/1.1\r\nHost: alterd.internal\r\n\r\n`);
    const answer = await readAnswer(wire);
    wire.socket.destroy();
    return answer;
  };

  it.each(ways)('S-99 at the next request of an open tunnel once %s', async (_what, prepare, code) => {
    const { bot, token, end, undo } = await prepare();
    const wire = await bot.open();
    const get = `GET / HTTP/1.1\r\nHost: ${GOOD}\r\nAlter-User-Token: ${token}\r\n\r\n`;
    wire.write(get);
    expect((await readAnswer(wire)).status).toBe(200);
    await end();
    const before = wall.good.arrivals.filter(({ url }) => url === '/').length;
    wire.write(get);
    expectRefusal(await readAnswer(wire), 403, code);
    expect(wall.good.arrivals.filter(({ url }) => url === '/').length).toBe(before);
    wire.socket.destroy();
    await undo?.();
  });

  it.each(ways)('S-99 for a WebSocket within two seconds once %s', async (_what, prepare) => {
    const { bot, token, end, undo } = await prepare();
    const client = await bot.open({ connect: `${RAW}:443`, sni: RAW });
    client.write(`GET /ws HTTP/1.1\r\nHost: ${RAW}\r\nAlter-User-Token: ${token}\r\n${WS}\r\n`);
    const server = await raw.next();
    await readRequest(server, true);
    server.write(
      'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n',
    );
    expect((await readAnswer(client)).status).toBe(101);
    const started = Date.now();
    await end();
    await Promise.all([client.closed, server.closed]);
    expect(Date.now() - started).toBeLessThan(2_000);
    await undo?.();
  });

  it('for an answer under way when its delegation expires, without anybody doing anything', async () => {
    const bot = await wall.agent(null);
    const grant = await wall.grant('anna', { user: anna }, { hosts: [RAW] });
    await wall.delegate(grant, bot, { expires_at: new Date(Date.now() + 1_500).toISOString() });
    const client = await bot.open({ connect: `${RAW}:443`, sni: RAW });
    client.write(`GET /events HTTP/1.1\r\nHost: ${RAW}\r\nAlter-User-Token: ${await wall.issuer.token('anna')}\r\n\r\n`);
    const server = await raw.next();
    await readRequest(server);
    server.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\ndata: \r\n');
    await client.until('data: \r\n');
    await Promise.all([client.closed, server.closed]);
    await wall.row({ agent: bot.name, path: '/events', outcome: 'refused', error: 'policy_violation' });
  });

  it('an older token does not put a user back into a group', async () => {
    wall.issuer.people.set('dora', { email: 'dora@good.test' });
    const now = Math.floor(Date.now() / 1000);
    const at = (issuedAt: number, groups: string[]) => wall.issuer.token('dora', { issuedAt, claims: { groups } });
    const bot = await wall.agent(null);
    await wall.delegate(await wall.grant('team', { group: 'ops' }), bot);
    expect((await askAs(bot, await at(now - 30, ['ops']))).status).toBe(200);
    expectRefusal(await askAs(bot, await at(now - 10, [])), 403, 'no_delegated_grant');
    expectRefusal(await nothingLeaves(async () => askAs(bot, await at(now - 20, ['ops']))), 403, 'no_delegated_grant');
    expectRefusal(await nothingLeaves(async () => askAs(bot, await at(now - 10, ['ops']))), 403, 'no_delegated_grant');
    expect((await askAs(bot, await at(now - 5, ['ops']))).status).toBe(200);
  });

  it('a session ends with its user, and does not come back with the user', async () => {
    const { bot } = await delegated();
    const { key } = await wall.daemon.api<{ key: string }>('POST', '/v1/sessions', { agent: bot.name, user: anna });
    await deactivate(anna);
    await activate(anna);
    const refused = await nothingLeaves(() =>
      wall.as(bot, key).send(`GET http://${GOOD}/ HTTP/1.1\r\nHost: ${GOOD}\r\n@\r\n\r\n`),
    );
    expectRefusal(refused, 407, 'key_revoked');
  });

  it("an agent can not give back, or even see, another agent's delegation", async () => {
    const { bot, delegation, token } = await delegated();
    const other = await wall.agent(null);
    expect((await dropOwn(other, delegation)).status).toBe(403);
    expect((await askAs(bot, token)).status).toBe(200);
    const wire = await other.open({ connect: 'alterd.internal:443', sni: 'alterd.internal' });
    wire.write('GET /delegations HTTP/1.1\r\nHost: alterd.internal\r\n\r\n');
    expect((await readAnswer(wire)).json()).toMatchObject({ delegations: [] });
    wire.socket.destroy();
  });
});

describe('agents and keys', () => {
  it('a limit of providers takes away before anything is chosen', async () => {
    const bot = await wall.agent();
    await wall.daemon.api('POST', `/v1/agents/${bot.name}`, { providers: ['github'] });
    expectRefusal(await nothingLeaves(() => bot.ask('/')), 403, 'policy_violation', 'agent_scope_not_allowed');
    await wall.daemon.api('POST', `/v1/agents/${bot.name}`, { providers: ['bearer'] });
    expect((await bot.ask('/')).status).toBe(200);
  });

  it('an agent ends with the one it works under, and its rows say which that is', async () => {
    const boss = await wall.agent(null);
    const { key, agent } = await wall.daemon.api<{ key: string; agent: { name: string } }>('POST', '/v1/agents', {
      name: `under-${boss.name}`,
      parent: boss.name,
    });
    await wall.grant('demo', { agent: agent.name });
    const bot = wall.as({ ...boss, name: agent.name }, key);
    expect((await bot.ask('/')).status).toBe(200);
    expect(await wall.row({ agent: agent.name, status: 200 })).toMatchObject({ parent_agent: boss.name });
    const wire = await bot.open();
    await wall.daemon.api('POST', `/v1/agents/${boss.name}/status`, { status: 'paused' });
    wire.write(`GET / HTTP/1.1\r\nHost: ${GOOD}\r\n\r\n`);
    expectRefusal(await readAnswer(wire), 403, 'policy_violation', 'caller_ended');
    await expect(wall.daemon.api('DELETE', `/v1/agents/${boss.name}`)).rejects.toThrow(/works under/);
    wire.socket.destroy();
  });

  it('a derived key can do less, can not derive, and ends with the key it came from', async () => {
    const bot = await wall.agent();
    const { keys } = await wall.daemon.api<{ keys: { id: string }[] }>('GET', `/v1/agents/${bot.name}/keys`);
    const derive = (id: string, body: object = {}) =>
      wall.daemon.api<{ key: string; key_info: { id: string } }>('POST', `/v1/keys/${id}/derive`, body);
    const first = keys[0]?.id ?? '';
    const { key, key_info } = await derive(first, { denied_methods: ['DELETE'] });
    const narrow = wall.as(bot, key);
    expect((await narrow.ask('/')).status).toBe(200);
    expectRefusal(
      await nothingLeaves(() => narrow.ask('/', { method: 'DELETE' })),
      403,
      'policy_violation',
      'session_method_denied',
    );
    await expect(derive(key_info.id)).rejects.toThrow(/can not be derived from/);
    const wire = await narrow.open();
    await wall.daemon.api('POST', `/v1/agents/${bot.name}/keys`);
    await wall.daemon.api('POST', `/v1/keys/${first}/revoke`);
    wire.write(`GET / HTTP/1.1\r\nHost: ${GOOD}\r\n\r\n`);
    expectRefusal(await readAnswer(wire), 403, 'policy_violation', 'caller_ended');
    expectRefusal(await narrow.send(`GET http://${GOOD}/ HTTP/1.1\r\nHost: ${GOOD}\r\n@\r\n\r\n`), 407, 'key_revoked');
    wire.socket.destroy();
  });

  it('S-75 a key that is bound to a program, a unit or a network is worthless elsewhere', async () => {
    const bot = await wall.agent();
    const bound = async (body: object): Promise<WallAgent> => {
      const { key } = await wall.daemon.api<{ key: string }>('POST', `/v1/agents/${bot.name}/keys`, body);
      return wall.as(bot, key);
    };
    const call = `GET http://${GOOD}/ HTTP/1.1\r\nHost: ${GOOD}\r\n@\r\n\r\n`;
    for (const body of [{ bound_executable: '/usr/bin/other' }, { bound_unit: 'other.service' }, { bound_cidr: '10.0.0.0/8' }])
      expectRefusal(await nothingLeaves(async () => (await bound(body)).send(call)), 403, 'token_binding_mismatch');
    const here = await bound({ bound_executable: process.execPath, bound_cidr: '127.0.0.0/8', bound_uid: process.getuid?.() });
    expect((await here.ask('/')).status).toBe(200);
  });
});

it('access and reach name every path that works, and none that does not', async () => {
  const { bot, delegations } = await sharedAgent();
  await wall.daemon.api('POST', `/v1/delegations/${delegations[1]}/revoke`);
  const { reach } = await wall.daemon.api<{ reach: Record<string, unknown>[] }>('GET', `/v1/reach/${bot.name}`);
  expect(reach).toEqual([
    expect.objectContaining({ path: 'delegation', agent: bot.name, user: 'anna@good.test', delegation_id: delegations[0] }),
  ]);
  const { access } = await wall.daemon.api<{ access: { agent: string }[] }>('GET', '/v1/access/ben');
  expect(access.filter(({ agent }) => agent === bot.name)).toEqual([]);
});

describe('policies about people', () => {
  const POLICY = (when: string): string =>
    `name = "people"\nlayer = "installation"\n[[rules]]\nname = "r"\neffect = "deny"\nwhen = { ${when} }\n`;

  it('a rule about users and groups is asked of who the user is now, also when the grant alone says who', async () => {
    const { bot } = await sharedAgent();
    const alone = await wall.agent(null);
    await wall.delegate(await wall.grant('anna', { user: anna }), alone);
    const [asAnna, asBen] = [await wall.issuer.token('anna'), await wall.issuer.token('ben')];
    for (const when of [`users = ["${anna}"]`, 'groups = ["writers"]']) {
      await wall.daemon.api('POST', '/v1/policies', { toml: POLICY(when), replace: true });
      try {
        expectRefusal(await nothingLeaves(() => askAs(bot, asAnna)), 403, 'policy_violation');
        expectRefusal(await nothingLeaves(() => askAs(alone, null)), 403, 'policy_violation');
        expect((await askAs(bot, asBen)).status).toBe(200);
        expect(sentSecret()).toBe(bearer(BEN_SECRET));
      } finally {
        await wall.daemon.api('DELETE', '/v1/policies/people');
      }
    }
  });
});
