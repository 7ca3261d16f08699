/** Policies over real sockets: what is unknown denies, what is limited is limited exactly, and what is wrong changes nothing. */
import { cpSync, lstatSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestDaemon } from '../helpers/daemon.ts';
import { expectRefusal, GOOD, speakerFor, startWall, until, type Wall } from './support/wall.ts';

let wall: Wall;

beforeAll(async () => {
  wall = await startWall();
}, 30_000);
afterAll(() => wall?.stop());

const add = (toml: string, replace = false): Promise<unknown> => wall.daemon.api('POST', '/v1/policies', { toml, replace });
const remove = (name: string): Promise<unknown> => wall.daemon.api('DELETE', `/v1/policies/${name}`);
const named = (name: string, agent: { readonly name: string }, rules: string): string =>
  `name = "${name}"\nlayer = "agent"\ntargets = ["${agent.name}"]\n${rules}`;
const arrived = (url: string): number => wall.good.arrivals.filter((each) => each.url === url).length;

describe('what is unknown', () => {
  const RULES: readonly [name: string, rule: string][] = [
    ['deny-group', 'effect = "deny"\nwhen = { groups = ["contractors"] }'],
    ['need-group', 'effect = "require"\nwhen = { groups = ["staff"] }'],
    ['limit-user', 'effect = "limit"\nlimit = { kind = "fixed_window", requests = 9, per = "1h" }\nwhen = { users = ["ann"] }'],
    ['cel-user', `effect = "deny"\nwhen = { cel = 'user.id == "mallory"' }`],
    ['cel-header', `effect = "deny"\nwhen = { cel = 'request.headers["x-absent"][0] == "1"' }`],
  ];

  it('S-91 a rule that needs a fact which is missing denies, whichever way it is written', async () => {
    const agent = await wall.agent();
    expect((await agent.ask('/before')).status).toBe(200);
    for (const [name, rule] of RULES) {
      await add(named(name, agent, `[[rules]]\nname = "r"\n${rule}`));
      const answer = await agent.ask('/asked');
      expect([name, answer.status, answer.json()]).toMatchObject([
        name,
        403,
        { error: 'policy_violation', policy_error: 'evaluation_failed', rule: `policy.${name}/r` },
      ]);
      await remove(name);
    }
    expect((await agent.ask('/after')).status).toBe(200);
    expect(arrived('/asked')).toBe(0);
  });

  it('S-91 a rule for a user or on a body that nobody can read denies; the refusal says nothing of the rule but its name', async () => {
    const agent = await wall.agent();
    await add(
      `name = "of-ann"\nlayer = "user"\ntargets = ["ann"]\n[[rules]]\nname = "r"\neffect = "deny"\nwhen = { paths = ["/nowhere-known"] }`,
    );
    // The path does not fit, so nothing that is unknown could make it fit.
    expect((await agent.ask('/elsewhere')).status).toBe(200);
    expectRefusal(await agent.ask('/nowhere-known'), 403, 'policy_violation', 'evaluation_failed');
    await remove('of-ann');

    const rule = 'effect = "deny"\nwhen = { json = [{ pointer = "/model", equals = "hush-hush" }] }';
    await add(named('on-body', agent, `[[rules]]\nname = "model"\n${rule}`));
    const post = (body: string, ...headers: string[]) =>
      agent.ask('/v1', { method: 'POST', headers: ['Content-Type: application/json', ...headers], body });
    expect((await post('{"model":"small"}')).status).toBe(200);
    expectRefusal(await post('{"model":"hush-hush"}'), 403, 'policy_violation', 'rule_denied');
    expectRefusal(await post('{"Model":"HUSH-hush"}'), 403, 'policy_violation', 'rule_denied');
    const doubled = await post('{"model":"small","model":"hush-hush"}');
    expectRefusal(doubled, 403, 'policy_violation', 'evaluation_failed');
    expectRefusal(await post('{"model":"small"}', 'Content-Encoding: gzip'), 403, 'policy_violation', 'evaluation_failed');
    expectRefusal(await post(`{"model":"hush-hush"${' '.repeat(17_000)}}`), 403, 'policy_violation', 'rule_denied');
    expect(doubled.body).not.toContain('hush-hush');
    expect(doubled.body).toContain('on-body');
    expect(arrived('/v1')).toBe(1);
    await remove('on-body');
  });
});

describe('what a person has to approve', () => {
  it('S-95 a policy that wants an approval holds the request, and what is approved is still counted and ruled on', async () => {
    const agent = await wall.agent();
    const rules = [
      'name = "ask"\neffect = "require_approval"\nwhen = { methods = ["DELETE"] }',
      'name = "two"\neffect = "limit"\nlimit = { kind = "fixed_window", requests = 2, per = "1d" }\nwhen = { paths = ["/ask/**"] }',
    ];
    await add(named('asks', agent, rules.map((rule) => `[[rules]]\n${rule}`).join('\n')));
    expect((await agent.ask('/ask/1')).status).toBe(200);
    const asked = agent.ask('/ask/2', { method: 'DELETE' });
    const id = await pendingApproval();
    expect(arrived('/ask/2')).toBe(0);
    await wall.daemon.api('POST', `/v1/approvals/${id}/approve`, {});
    expect((await asked).status).toBe(200);
    expect(arrived('/ask/2')).toBe(1);
    expectRefusal(await agent.ask('/ask/3'), 429, 'rate_limited', 'rate_limit_exceeded');
    await remove('asks');
  });
});

async function pendingApproval(): Promise<string> {
  let id: string | undefined;
  await until(async () => {
    const { approvals } = await wall.daemon.api<{ approvals: { id: string; status: string }[] }>('GET', '/v1/approvals');
    id = approvals.find(({ status }) => status === 'pending')?.id;
    return id !== undefined;
  });
  return id as string;
}

describe('what is said of policies before they count', () => {
  const problems = (...tomls: string[]): Promise<{ problems: { severity: string; text: string }[] }> =>
    wall.daemon.api('POST', '/v1/policies/validate', {
      sources: tomls.map((toml, index) => ({ place: `p${index}.toml`, toml })),
    });

  it('S-92 a rule that can never matter is told with its place, in whatever order and file it stands', async () => {
    const wide =
      'name = "wide"\nlayer = "installation"\n[[rules]]\nname = "all"\neffect = "deny"\nwhen = { methods = ["DELETE", "PUT"] }\n';
    const narrow =
      'name = "narrow"\nlayer = "agent"\ntargets = ["*"]\n\n[[rules]]\nname = "one"\neffect = "deny"\nwhen = { methods = ["DELETE"], paths = ["/a/*"] }\n';
    const shadowed = { severity: 'warning', text: expect.stringContaining('narrow') as string };
    for (const order of [
      [wide, narrow],
      [narrow, wide],
    ]) {
      const found = (await problems(...order)).problems;
      expect(found).toEqual([
        { ...shadowed, text: expect.stringMatching(/^p\d\.toml:5:1: .*"one" adds nothing: wide\/all covers it$/) },
      ]);
    }
    const never = narrow.replace('paths = ["/a/*"]', 'after = 2030-01-01T00:00:00Z, before = 2029-01-01T00:00:00Z');
    expect((await problems(never)).problems[0]?.text).toMatch(/^p0\.toml:5:1: .*never applies/);
    // All rules count, so what is covered is weaker in nothing: the strict one decides, wherever it stands.
    const agent = await wall.agent();
    await add(
      named(
        'both',
        agent,
        '[[rules]]\nname = "a"\neffect = "require"\nwhen = { methods = ["GET", "DELETE"] }\n[[rules]]\nname = "b"\neffect = "deny"\nwhen = { methods = ["DELETE"] }',
      ),
    );
    expectRefusal(await agent.ask('/x', { method: 'DELETE' }), 403, 'policy_violation', 'rule_denied');
    await remove('both');
  });

  it('S-93 a wider wildcard is shown as the hosts with a credential that it newly reaches', async () => {
    const agent = await wall.agent({ label: 'reach' });
    const toml = (hosts: string): { place: string; toml: string }[] => [
      {
        place: 'p.toml',
        toml: named('hosts', agent, `[[rules]]\nname = "only"\neffect = "require"\nwhen = { hosts = [${hosts}] }`),
      },
    ];
    const diff = (before: string, after: string) =>
      wall.daemon.api<{
        widens: boolean;
        rows: { host: string; change: string; widens: boolean; grant: string; rules: string[] }[];
      }>('POST', '/v1/policies/diff', { before: { sources: toml(before) }, after: { sources: toml(after) } });
    const wider = await diff('"other.good.test"', '"other.good.test", "*.good.test"');
    expect(wider.widens).toBe(true);
    expect(wider.rows).toEqual([
      expect.objectContaining({ change: 'newly_allowed', widens: true, grant: 'reach', host: GOOD, rules: ['hosts/only'] }),
    ]);
    const narrower = await diff('"*.good.test"', '"other.good.test"');
    expect([narrower.widens, narrower.rows.map(({ change }) => change)]).toEqual([false, ['newly_denied']]);
    expect((await diff('"*.good.test"', `"*.good.test", "*.unrelated.test"`)).rows).toEqual([]);
  });
});

describe('rate limits', () => {
  const LIMIT = (kind: string, requests: number): string =>
    `[[rules]]\nname = "ten"\neffect = "limit"\nlimit = { kind = "${kind}", requests = ${requests}, per = "1h" }\nwhen = { methods = ["GET"] }`;

  it('S-98 exactly ten of a hundred requests in parallel pass a limit of ten, over sockets, spellings and other agents', async () => {
    const agent = await wall.agent();
    const other = await wall.agent();
    await add(`name = "limit"\nlayer = "provider"\ntargets = ["*"]\n${LIMIT('token_bucket', 10)}`);
    const spellings = ['/a', '/%61', '/a?x=1', '/b'];
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_none, i) =>
        agent.ask(spellings[i % 4] as string, { host: i % 3 === 0 ? GOOD.toUpperCase() : GOOD }),
      ),
    );
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(10);
    const refused = answers.filter(({ status }) => status === 429);
    expect(refused).toHaveLength(90);
    for (const answer of refused.slice(0, 3)) {
      expectRefusal(answer, 429, 'rate_limited', 'rate_limit_exceeded');
      expect(Number(answer.header('retry-after'))).toBeGreaterThan(0);
    }
    // Another agent and another method have counts of their own.
    expect((await other.ask('/a')).status).toBe(200);
    expect((await agent.ask('/a', { method: 'POST' })).status).toBe(200);
    await remove('limit');
  });

  it('S-98 what was counted is counted after a restart, and after a crash that left no time to write', async () => {
    const home = mkdtempSync(join(tmpdir(), 'alterd-limit-'));
    const crashed = mkdtempSync(join(tmpdir(), 'alterd-limit-'));
    const config = `[upstream]\nca_file = "${wall.pki.caFile}"\nresolve = { "${GOOD}:443" = "127.0.0.1:${wall.good.port}" }\n`;
    const first = await startTestDaemon({ home, config });
    await first.api('POST', '/v1/secrets', { name: 'demo', provider: 'bearer', fields: { token: 'SEKRET-marker-limit' } });
    const { key, authorization } = await first.agent('bot');
    await first.api('POST', '/v1/grants', { credential: 'demo', agent: 'bot', hosts: [GOOD], allow_private: true });
    await first.api('POST', '/v1/policies', { toml: named('ten', { name: 'bot' }, LIMIT('sliding_window', 10)) });
    const passed = async (daemon: typeof first, count: number): Promise<number> => {
      const { ask } = speakerFor(daemon, authorization);
      const answers = await Promise.all(Array.from({ length: count }, () => ask('/limited')));
      return answers.filter(({ status }) => status === 200).length;
    };
    expect(key).not.toBe('');
    expect(await passed(first, 4)).toBe(4);
    // The files as a crash would leave them: nothing since the policy came was written by the keeper of the counters.
    cpSync(home, crashed, { recursive: true, filter: (path) => !lstatSync(path).isSocket() });
    await first.running.stop();
    const second = await startTestDaemon({ home });
    expect(await passed(second, 3)).toBe(3);
    await second.running.stop();
    const third = await startTestDaemon({ home });
    expect(await passed(third, 20)).toBe(3);
    await third.stop();
    const fourth = await startTestDaemon({ home: crashed });
    expect(await passed(fourth, 20)).toBe(6);
    await fourth.stop();
  });
});

describe('files', () => {
  it('S-107 a wrong policy file changes nothing, also over a restart, and everybody is told', async () => {
    const home = mkdtempSync(join(tmpdir(), 'alterd-files-'));
    const config = `[upstream]\nca_file = "${wall.pki.caFile}"\nresolve = { "${GOOD}:443" = "127.0.0.1:${wall.good.port}" }\n`;
    const dir = join(home, 'config', 'policies');
    mkdirSync(dir, { recursive: true });
    const rule = (method: string): string =>
      `name = "files"\nlayer = "installation"\n[[rules]]\nname = "no"\neffect = "deny"\nwhen = { methods = ["${method}"] }\n`;
    writeFileSync(join(dir, 'a.toml'), rule('DELETE'));
    let daemon = await startTestDaemon({ home, config });
    await daemon.api('POST', '/v1/secrets', { name: 'demo', provider: 'bearer', fields: { token: 'SEKRET-marker-files' } });
    const { authorization } = await daemon.agent('bot');
    await daemon.api('POST', '/v1/grants', { credential: 'demo', agent: 'bot', hosts: [GOOD], allow_private: true });
    const statuses = async (): Promise<number[]> => {
      const { ask } = speakerFor(daemon, authorization);
      return [(await ask('/x', { method: 'DELETE' })).status, (await ask('/x', { method: 'PUT' })).status];
    };
    expect(await statuses()).toEqual([403, 200]);

    writeFileSync(join(dir, 'a.toml'), rule('PUT'));
    writeFileSync(join(dir, 'b.toml'), 'name = "b"\nlayer = "agent"\nmode = "later"\n');
    writeFileSync(
      join(dir, 'c.toml'),
      rule('GET').replace('"files"', '"c"').replace('when = {', 'when = { time = [{ zone = "Mars/Olympus" }],'),
    );
    await expect(daemon.api('POST', '/v1/reload')).rejects.toMatchObject({
      problem: {
        error: 'invalid_input',
        problems: [
          expect.stringMatching(/^b\.toml:\d+:\d+: .*targets/),
          expect.stringMatching(/^b\.toml:3:8: mode must be one of/),
          expect.stringMatching(/^c\.toml:6:\d+: rules\.0\.when\.time\.0\.zone is no time zone/),
        ],
      },
    });
    expect(await statuses()).toEqual([403, 200]);
    expect(daemon.logged.some((line) => line.includes('"error"') && line.includes('policy files are wrong'))).toBe(true);
    const refusals = await daemon.api<{ entries: unknown[] }>('GET', '/v1/audit?action=policies.refused');
    expect(refusals.entries).toHaveLength(1);

    await daemon.running.stop();
    daemon = await startTestDaemon({ home });
    expect(await statuses()).toEqual([403, 200]);
    expect(daemon.logged.some((line) => line.includes('a policy file is wrong'))).toBe(true);

    rmSync(join(dir, 'b.toml'));
    rmSync(join(dir, 'c.toml'));
    await daemon.api('POST', '/v1/reload');
    expect(await statuses()).toEqual([200, 403]);
    const rows = await daemon.api<{ entries: { policy_version: number; rule: string }[] }>(
      'GET',
      '/v1/audit?kind=exchange&limit=1',
    );
    const { version } = await daemon.api<{ version: number }>('GET', '/v1/policies');
    expect(rows.entries[0]).toMatchObject({ rule: 'policy.files/no', policy_version: version });
    await daemon.stop();
  });

  it('S-107 with nothing to fall back to, a wrong policy file keeps the daemon from starting', async () => {
    const home = mkdtempSync(join(tmpdir(), 'alterd-files-'));
    mkdirSync(join(home, 'config', 'policies'), { recursive: true });
    writeFileSync(join(home, 'config', 'policies', 'a.toml'), 'name = "a"\nlayer = "everything"\n');
    await expect(startTestDaemon({ home })).rejects.toMatchObject({ code: 'invalid_input' });
    rmSync(home, { recursive: true, force: true });
  });
});
