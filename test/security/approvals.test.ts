/** S-70, S-94 … S-97: a person says yes to one request of an agent, and to nothing else. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ApprovalView } from '../../src/api/approvals.ts';
import { cardLines } from '../../src/cli/approval-card.ts';
import { ANNA_SECRET, askAs, type PeopleWall, startPeopleWall } from './support/people.ts';
import { BEARER, expectRefusal, GOOD, SECRET, startWall, valuesOf, type Wall, type WallAgent } from './support/wall.ts';
import { type Answer, readAnswer, type Wire } from './support/wire.ts';

let wall: Wall;
let bot: WallAgent;
/** Held for no time at all: what is pending is answered at once. */
let hasty: Wall;
let hastyBot: WallAgent;

beforeAll(async () => {
  wall = await startWall({ tables: '[approvals]\nhold_ms = 20000\n' });
  bot = await wall.agent({ approval: ['POST', 'DELETE'] });
  hasty = await startWall({ tables: '[approvals]\nhold_ms = 0\npending_per_agent = 3\n' });
  hastyBot = await hasty.agent({ approval: ['*'] });
});
afterAll(async () => {
  await wall.stop();
  await hasty.stop();
});

const last = (at = wall) => at.good.arrivals.at(-1)!;

async function pendingOf(at: Wall, agent: string): Promise<ApprovalView> {
  for (;;) {
    const { approvals } = await at.daemon.api<{ approvals: ApprovalView[] }>('GET', '/v1/approvals?status=pending');
    const found = approvals.find((each) => each.agent === agent && each.waiting > 0);
    if (found !== undefined) return found;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** A request on its way, held until somebody decides. */
async function held(target: string, body: string, method = 'POST'): Promise<{ wire: Wire; answer: Promise<Answer> }> {
  const wire = await bot.open();
  wire.write(
    `${method} ${target} HTTP/1.1\r\nHost: ${GOOD}\r\nContent-Length: ${body.length}\r\nAlter-Reason: tidy up\r\n\r\n${body}`,
  );
  return { wire, answer: readAnswer(wire) };
}

const decide = (at: Wall, id: string, verb: 'approve' | 'deny', body: object = {}): Promise<{ approval: ApprovalView }> =>
  at.daemon.api('POST', `/v1/approvals/${id}/${verb}`, body);

it('guard: what needs no approval passes with the credential, and what was approved passes whole, once', async () => {
  expect((await bot.ask('/')).status).toBe(200);
  const before = wall.good.arrivals.length;
  const { wire, answer } = await held('/issues', 'the body');
  const asked = await pendingOf(wall, bot.name);
  expect(asked).toMatchObject({ method: 'POST', path: '/issues', rule: 'grant.approval', body_preview: 'the body' });
  expect(asked.agent_says.reason).toBe('tidy up');
  expect(wall.good.arrivals.length).toBe(before);
  await decide(wall, asked.id, 'approve');
  expect((await answer).status).toBe(200);
  expect([last().body.toString(), valuesOf(last().rawHeaders, 'authorization')]).toEqual(['the body', [BEARER]]);
  const { details } = await wall.row({ agent: bot.name, outcome: 'success', path: '/issues' });
  expect(details).toMatchObject({ approval: asked.id, approved_by: expect.stringContaining('operator') });
  await expect(decide(wall, asked.id, 'approve')).rejects.toThrow(/409/);
  wire.socket.destroy();
});

it('a denied request is refused, and its row says by whom', async () => {
  const before = wall.good.arrivals.length;
  const { wire, answer } = await held('/repos/x', '', 'DELETE');
  const { id } = await pendingOf(wall, bot.name);
  await decide(wall, id, 'deny');
  expectRefusal(await answer, 403, 'approval_denied');
  await wall.row({ agent: bot.name, error: 'approval_denied', outcome: 'refused' });
  expect(wall.good.arrivals.length).toBe(before);
  wire.socket.destroy();
});

it('S-94 the key of an agent opens no API, and the proxy does not lead there', async () => {
  const { wire, answer } = await held('/self', 'x');
  const { id } = await pendingOf(wall, bot.name);
  const approve = `/v1/approvals/${id}/approve`;
  for (const target of [`https://alterd.internal${approve}`, `http://alterd.internal${approve}`]) {
    const said = await bot.send(`POST ${target} HTTP/1.1\r\nHost: alterd.internal\r\nContent-Length: 2\r\n@\r\n\r\n{}`);
    expect(said.status).toBeGreaterThanOrEqual(400);
  }
  const socket = connect(wall.daemon.running.facts().proxy.unix as string);
  socket.write(`POST ${approve} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${bot.key}\r\nContent-Length: 2\r\n\r\n{}`);
  const [head] = (await once(socket, 'data')) as [Buffer];
  expect(head.toString()).toMatch(/^HTTP\/1\.1 4/);
  socket.destroy();
  expect((await wall.daemon.api<{ approval: ApprovalView }>('GET', `/v1/approvals/${id}`)).approval.status).toBe('pending');
  await decide(wall, id, 'deny');
  await answer;
  wire.socket.destroy();
});

it('S-95 an approval is for the request that was asked about: another body, query, path or type asks anew, and a replay too', async () => {
  const post = (target: string, body: string, type = 'text/plain'): Promise<Answer> =>
    hastyBot.ask(target, { method: 'POST', headers: [`Content-Type: ${type}`], body });
  const idOf = (answer: Answer): string => {
    expectRefusal(answer, 403, 'approval_pending');
    expect(answer.header('retry-after')).toBeDefined();
    return answer.json().approval_id as string;
  };
  const id = idOf(await post('/pay?to=a', 'amount=1'));
  expect(idOf(await post('/pay?to=a', 'amount=1'))).toBe(id);
  await decide(hasty, id, 'approve');
  const before = hasty.good.arrivals.length;
  const others = [idOf(await post('/pay?to=a', 'amount=2')), idOf(await post('/pay?to=b', 'amount=1'))];
  expect(new Set([id, ...others]).size).toBe(3);
  for (const other of others) await decide(hasty, other, 'deny');
  const third = idOf(await post('/pay?to=a', 'amount=1', 'application/json'));
  await decide(hasty, third, 'deny');
  expect(hasty.good.arrivals.length).toBe(before);
  const both = await Promise.all([post('/pay?to=a', 'amount=1'), post('/pay?to=a', 'amount=1')]);
  expect(both.map((answer) => answer.status).sort()).toEqual([200, 403]);
  expect(hasty.good.arrivals.length).toBe(before + 1);
  await decide(hasty, both.find((answer) => answer.status === 403)?.json().approval_id as string, 'deny');
});

it('an approval for a time is for the agent, the method and the path', async () => {
  const pending = await hastyBot.ask('/hourly', { method: 'POST', body: 'a' });
  await decide(hasty, pending.json().approval_id as string, 'approve', { for_ms: 60_000 });
  for (const body of ['a', 'b']) expect((await hastyBot.ask('/hourly', { method: 'POST', body })).status).toBe(200);
  const other = await hastyBot.ask('/hourly', { method: 'DELETE' });
  expectRefusal(other, 403, 'approval_pending');
  await decide(hasty, other.json().approval_id as string, 'deny');
});

it('what asks too often is refused until somebody decides', async () => {
  const asked = await Promise.all(['a', 'b', 'c'].map((name) => hastyBot.ask(`/many/${name}`)));
  for (const answer of asked) expectRefusal(answer, 403, 'approval_pending');
  expectRefusal(await hastyBot.ask('/many/d'), 403, 'policy_violation');
  await hasty.row({ agent: hastyBot.name, policy_error: 'approval_unavailable' });
  for (const answer of asked) await decide(hasty, answer.json().approval_id as string, 'deny');
});

it('S-95 everything is ruled on again when it was approved: a revoked grant stays revoked', async () => {
  const agent = await wall.agent({ approval: ['*'] });
  const wire = await agent.open();
  wire.write(`GET /late HTTP/1.1\r\nHost: ${GOOD}\r\n\r\n`);
  const answer = readAnswer(wire);
  const { id } = await pendingOf(wall, agent.name);
  const before = wall.good.arrivals.length;
  await wall.daemon.api('POST', `/v1/grants/${agent.grantId}/revoke`);
  await decide(wall, id, 'approve');
  expectRefusal(await answer, 403, 'grant_revoked');
  expect(wall.good.arrivals.length).toBe(before);
  wire.socket.destroy();
});

it('S-70, S-96 a card shows what alterd saw first, and escapes, cuts and marks what the agent chose', async () => {
  const { wire, answer } = await held('/a%E2%80%AEb?token=hush', 'line one\r\n  agent     somebody else\u001b[2J\u202e');
  const asked = await pendingOf(wall, bot.name);
  const lines = cardLines({
    ...asked,
    path: '/a\u202eb',
    agent_says: { ...asked.agent_says, reason: `\u2066${'x'.repeat(500)}\n  agent root` },
  });
  const text = lines.join('\n');
  expect(text).not.toMatch(/[\u202e\u2066\u001b]/);
  expect(text).not.toContain('hush');
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThan(300);
  expect(lines.findIndex((line) => line.startsWith('  agent '))).toBeLessThan(
    lines.findIndex((line) => line.startsWith('  the agent says')),
  );
  expect(lines.filter((line) => line.startsWith('  agent '))).toHaveLength(1);
  expect(JSON.stringify(asked)).not.toContain(SECRET);
  await decide(wall, asked.id, 'deny');
  await answer;
  wire.socket.destroy();
});

it('S-97 a request whose agent left is not sent, whatever is decided afterwards', async () => {
  const before = wall.good.arrivals.length;
  const { wire, answer } = await held('/gone', 'x');
  const gone = answer.catch(() => null);
  const { id } = await pendingOf(wall, bot.name);
  wire.socket.destroy();
  await gone;
  // An agent that closed its side may still read: it is given up some seconds later.
  const statusOf = async (): Promise<string> =>
    (await wall.daemon.api<{ approval: ApprovalView }>('GET', `/v1/approvals/${id}`)).approval.status;
  await expect.poll(statusOf, { timeout: 15_000 }).toBe('cancelled');
  await wall.row({ agent: bot.name, path: '/gone', outcome: 'client_abort' });
  await wall.row({ action: 'approval.cancelled', agent: bot.name });
  await expect(decide(wall, id, 'approve')).rejects.toThrow(/409/);
  expect(wall.good.arrivals.length).toBe(before);
});

it('S-112 an upgrade is not held: what goes through it later can not be shown', async () => {
  const agent = await wall.agent({ approval: ['*'] });
  const headers = [
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==',
  ];
  expectRefusal(await agent.ask('/ws', { headers }), 403, 'policy_violation');
});

it('a method that is asked for by header needs the approval of that method', async () => {
  const before = wall.good.arrivals.length;
  const agent = await hasty.agent({ approval: ['DELETE'] });
  expectRefusal(await agent.ask('/x', { method: 'GET', headers: ['X-HTTP-Method-Override: DELETE'] }), 403, 'approval_pending');
  expect((await agent.ask('/x')).status).toBe(200);
  expect(wall.good.arrivals.length).toBe(before);
});

describe('where issuers say who people are (S-94)', () => {
  let people: PeopleWall;
  let assistant: WallAgent;
  let anna: string;
  let [annaSession, benSession] = ['', ''];

  beforeAll(async () => {
    people = await startPeopleWall('[approvals]\nhold_ms = 0\npending_per_agent = 20\n');
    assistant = await people.agent(null);
    anna = await people.userId('anna');
    const ben = await people.userId('ben');
    for (const [secret, user] of Object.entries({ anna, ben }))
      await people.delegate(await people.grant(secret, { user }, { approval: ['*'] }), assistant);
    annaSession = await people.signIn('anna');
    benSession = await people.signIn('ben');
  });
  afterAll(() => people.stop());

  const asked = async (token: string | null, target: string, agent = assistant): Promise<string> => {
    const answer = await askAs(agent, token, target);
    expectRefusal(answer, 403, 'approval_pending');
    return answer.json().approval_id as string;
  };
  const approve = (id: string, user_session?: string, more: object = {}): Promise<{ approval: ApprovalView }> =>
    decide(people, id, 'approve', { ...more, ...(user_session === undefined ? {} : { user_session }) });

  it('nobody decides who has not signed in: not the socket alone, not a made-up handle, not one that has ended', async () => {
    const id = await asked(await people.issuer.token('anna'), '/nobody');
    const ended = await people.signIn('ben');
    await people.daemon.api('POST', '/v1/user-session/end', { user_session: ended });
    for (const session of [undefined, '', `alter_user_${'A'.repeat(43)}`, ended]) {
      await expect(approve(id, session)).rejects.toThrow(/forbidden.*alterd login/s);
      await expect(decide(people, id, 'deny', { user_session: session })).rejects.toThrow(/forbidden/);
    }
    expect((await decide(people, id, 'deny', { user_session: benSession })).approval.status).toBe('denied');
  });

  it('the one for whom the request is made does not approve it, another person does, and the rows say who', async () => {
    const token = await people.issuer.token('anna');
    const id = await asked(token, '/theirs');
    const { approval } = await people.daemon.api<{ approval: ApprovalView }>('GET', `/v1/approvals/${id}`);
    expect(approval).toMatchObject({ user_id: anna, user: 'anna@good.test' });
    expect(cardLines(approval).join('\n')).toContain('for       anna@good.test');
    await expect(approve(id, annaSession)).rejects.toThrow(/forbidden/);
    const before = people.good.arrivals.length;
    expectRefusal(await askAs(assistant, token, '/theirs'), 403, 'approval_pending');
    expect(people.good.arrivals.length).toBe(before);
    expect((await approve(id, benSession)).approval).toMatchObject({ status: 'approved', decided_by: 'ben@good.test (corp)' });
    expect((await askAs(assistant, await people.issuer.token('anna', { claims: { jti: 'newer' } }), '/theirs')).status).toBe(200);
    expect(valuesOf(people.good.arrivals.at(-1)!.rawHeaders, 'authorization')).toEqual([`Bearer ${ANNA_SECRET}`]);
    await people.row({ action: 'approval.approved', user_id: anna });
    const { details } = await people.row({ agent: assistant.name, outcome: 'success', path: '/theirs' });
    expect(details).toMatchObject({ approval: id, approved_by: 'ben@good.test (corp)' });
  });

  it('nor does the owner of the grant, when the agent says no user', async () => {
    const alone = await people.agent(null);
    await people.delegate(await people.grant('anna', { user: anna }, { approval: ['*'] }), alone);
    const id = await asked(null, '/alone', alone);
    await expect(approve(id, annaSession)).rejects.toThrow(/forbidden/);
    expect((await decide(people, id, 'deny', { user_session: annaSession })).approval.status).toBe('denied');
  });

  it('S-95 an approval for one user lets no request of another pass, for a time neither', async () => {
    const [asAnna, asBen] = [await people.issuer.token('anna'), await people.issuer.token('ben')];
    const id = await asked(asAnna, '/shared');
    await approve(id, benSession, { for_ms: 60_000 });
    const other = await asked(asBen, '/shared');
    expect(other).not.toBe(id);
    expect((await askAs(assistant, asAnna, '/shared')).status).toBe(200);
    await decide(people, other, 'deny', { user_session: benSession });
  });

  it('S-95 a delegation that was given anew meanwhile is another consent', async () => {
    const slow = await startPeopleWall('[approvals]\nhold_ms = 20000\n');
    try {
      const agent = await slow.agent(null);
      const grant = await slow.grant('anna', { user: await slow.userId('anna') }, { approval: ['*'] });
      await slow.delegate(grant, agent);
      await slow.userId('ben');
      const session = await slow.signIn('ben');
      const answer = askAs(agent, await slow.issuer.token('anna'), '/anew');
      const { id } = await pendingOf(slow, agent.name);
      await slow.delegate(grant, agent);
      await decide(slow, id, 'approve', { user_session: session });
      expectRefusal(await answer, 403, 'policy_violation');
      expect(slow.good.arrivals.filter((each) => each.url === '/anew')).toEqual([]);
    } finally {
      await slow.stop();
    }
  });
});
