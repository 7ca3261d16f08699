/** Policies over real sockets: what is unknown denies, what is limited is limited exactly, and what is wrong changes nothing. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GOOD, startWall, type Wall, type WallAgent } from './support/wall.ts';

let wall: Wall;

beforeAll(async () => {
  wall = await startWall();
}, 30_000);
afterAll(() => wall?.stop());

const policy = (toml: string): Promise<unknown> => wall.daemon.api('POST', '/v1/policies', { toml });
const remove = (name: string): Promise<unknown> => wall.daemon.api('DELETE', `/v1/policies/${name}`);
const named = (name: string, agent: WallAgent, rules: string): string =>
  `name = "${name}"\nlayer = "agent"\ntargets = ["${agent.name}"]\n${rules}`;

describe('what is unknown', () => {
  it('S-91 a rule that needs a fact which is missing denies, whichever way it is written', async () => {
    const agent = await wall.agent();
    const rules: readonly [name: string, rule: string][] = [
      ['deny-group', '[[rules]]\nname = "r"\neffect = "deny"\nwhen = { groups = ["contractors"] }'],
      ['need-group', '[[rules]]\nname = "r"\neffect = "require"\nwhen = { groups = ["staff"] }'],
      [
        'limit-user',
        '[[rules]]\nname = "r"\neffect = "limit"\nlimit = { kind = "fixed_window", requests = 9, per = "1h" }\nwhen = { users = ["ann"] }',
      ],
      ['cel-user', `[[rules]]\nname = "r"\neffect = "deny"\nwhen = { cel = 'user.id == "mallory"' }`],
    ];
    expect((await agent.ask('/before')).status).toBe(200);
    for (const [name, rule] of rules) {
      await policy(named(name, agent, rule));
      const answer = await agent.ask('/asked');
      expect([name, answer.status, answer.json()]).toMatchObject([
        name,
        403,
        { error: 'policy_violation', policy_error: 'evaluation_failed', rule: `policy.${name}/r` },
      ]);
      await remove(name);
    }
    expect((await agent.ask('/after')).status).toBe(200);
    expect(wall.good.arrivals.filter(({ url }) => url === '/asked')).toEqual([]);
  });
});
