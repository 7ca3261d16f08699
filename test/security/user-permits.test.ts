/** A permit for calls in the name of a user is worth what the user, the delegation and the membership are, and nothing to anybody else. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { PermitView } from '../../src/api/permits.ts';
import { ANNA_SECRET, askAs, type PeopleWall, startPeopleWall } from './support/people.ts';
import { expectRefusal, valuesOf, type WallAgent } from './support/wall.ts';

type Person = 'anna' | 'ben';

let wall: PeopleWall;
let ids: Record<Person, string>;
let handles: Record<Person, string>;

beforeAll(async () => {
  wall = await startPeopleWall('[approvals]\nhold_ms = 0\npending_per_agent = 50\n');
  ids = { anna: await wall.userId('anna'), ben: await wall.userId('ben') };
  handles = { anna: await wall.signIn('anna'), ben: await wall.signIn('ben') };
});
afterAll(() => wall.stop());

const token = (who: Person): Promise<string> => wall.issuer.token(who);
const permits = async (agent: WallAgent): Promise<PermitView[]> =>
  (await wall.daemon.api<{ permits: PermitView[] }>('GET', '/v1/permits')).permits.filter((each) => each.agent === agent.name);

/** Asks in the name of `who`; the other one approves. */
async function permit(agent: WallAgent, who: Person, target: string): Promise<void> {
  const pending = await askAs(agent, await token(who), target);
  expectRefusal(pending, 403, 'approval_pending');
  const path = `/v1/approvals/${pending.json().approval_id as string}/approve`;
  await expect(wall.daemon.api('POST', path, { user_session: handles[who], as_rule: true })).rejects.toThrow(/forbidden/);
  await wall.daemon.api('POST', path, { user_session: handles[who === 'anna' ? 'ben' : 'anna'], as_rule: true });
  expect((await askAs(agent, await token(who), target)).status).toBe(200);
}

async function delegated(): Promise<{ readonly agent: WallAgent; readonly grant: string; readonly delegation: string }> {
  const agent = await wall.agent(null);
  const grant = await wall.grant('anna', { user: ids.anna }, { approval: ['*'] });
  return { agent, grant, delegation: await wall.delegate(grant, agent) };
}

it("a permit for one user's requests lets none of another's pass, and none of nobody's", async () => {
  const agent = await wall.agent(null);
  await wall.grant('team', { agent: agent.name }, { approval: ['*'] });
  await permit(agent, 'anna', '/one');
  expect(await permits(agent)).toMatchObject([
    { user_id: ids.anna, user: 'anna@good.test', path: '/one', created_by: 'ben@good.test (corp)' },
  ]);
  const before = wall.good.arrivals.length;
  expectRefusal(await askAs(agent, await token('ben'), '/one'), 403, 'approval_pending');
  expectRefusal(await askAs(agent, null, '/one'), 403, 'approval_pending');
  expect(wall.good.arrivals.length).toBe(before);
});

it('it ends with the delegation, and a new one does not bring it back', async () => {
  const { agent, grant, delegation } = await delegated();
  await permit(agent, 'anna', '/delegated');
  expect(valuesOf(wall.good.arrivals.at(-1)!.rawHeaders, 'authorization')).toEqual([`Bearer ${ANNA_SECRET}`]);
  await wall.daemon.api('POST', `/v1/delegations/${delegation}/revoke`);
  expect(await permits(agent)).toEqual([]);
  await wall.delegate(grant, agent);
  expectRefusal(await askAs(agent, await token('anna'), '/delegated'), 403, 'approval_pending');
  // The owner's own word again in place of the one before: another consent.
  await permit(agent, 'anna', '/again');
  await wall.delegate(grant, agent);
  expectRefusal(await askAs(agent, await token('anna'), '/again'), 403, 'approval_pending');
  await wall.row({ action: 'permit.ended', agent: agent.name, user_id: ids.anna });
});

it('it ends with the membership of a group that owns the grant', async () => {
  const agent = await wall.agent(null);
  const grant = await wall.grant('team', { group: 'writers' }, { approval: ['*'] });
  await wall.delegate(grant, agent);
  await permit(agent, 'anna', '/team');
  await askAs(agent, await wall.issuer.token('anna', { claims: { groups: ['staff'] } }), '/left');
  expect(await permits(agent)).toEqual([]);
  const later = await wall.issuer.token('anna', { issuedAt: Math.floor(Date.now() / 1000) + 5 });
  expectRefusal(await askAs(agent, later, '/team'), 403, 'approval_pending');
});

it('it ends when its user is deactivated, and is not back when the user is', async () => {
  const { agent } = await delegated();
  await permit(agent, 'anna', '/user');
  await wall.daemon.api('POST', `/v1/users/${ids.anna}/status`, { status: 'deactivated' });
  expect(await permits(agent)).toEqual([]);
  await wall.daemon.api('POST', `/v1/users/${ids.anna}/status`, { status: 'active' });
  expectRefusal(await askAs(agent, await token('anna'), '/user'), 403, 'approval_pending');
});
