/** `alterd policy` against a daemon with traffic: what is validated, tested, compared, replayed, suggested and explained. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { temporaryDirectory } from '../../helpers/temporary.ts';
import { startWall, type Wall, type WallAgent } from '../../security/support/wall.ts';
import { type CliResult, runInside } from './cli-process.ts';

const directory = temporaryDirectory();
let wall: Wall;
let agent: WallAgent;

const cli = (...args: readonly string[]): Promise<CliResult> => runInside(wall.daemon.home, ['policy', ...args]);
const policy = (name: string, rules: string, more = ''): string =>
  `name = "${name}"\nlayer = "agent"\ntargets = ["${agent.name}"]\n${more}${rules}`;
const rule = (name: string, effect: string, rest: string): string =>
  `[[rules]]\nname = "${name}"\neffect = "${effect}"\n${rest}\n`;
const file = (text: string, name = 'p.toml'): string => {
  const path = join(directory(), name);
  writeFileSync(path, text);
  return path;
};

beforeAll(async () => {
  wall = await startWall();
  agent = await wall.agent({ label: 'work' });
  for (const path of ['/repos/1', '/repos/2', '/repos/3/issues', '/user']) expect((await agent.ask(path)).status).toBe(200);
  expect((await agent.ask('/repos/1', { method: 'DELETE' })).status).toBe(200);
}, 30_000);
afterAll(() => wall?.stop());

describe('files, without a daemon', () => {
  test('validate tells every problem with its place, shadowed rules too, and ends with 1', async () => {
    const dir = directory();
    writeFileSync(join(dir, 'a.toml'), policy('a', rule('all', 'deny', 'when = { methods = ["DELETE"] }')));
    writeFileSync(join(dir, 'b.toml'), policy('b', rule('one', 'deny', `when = { cel = 'request.metod == "A"' }`)));
    writeFileSync(join(dir, 'c.toml'), policy('c', rule('part', 'deny', 'when = { methods = ["DELETE"], hosts = ["x.test"] }')));
    const { code, stderr } = await cli('validate', dir);
    expect(code).toBe(1);
    expect(stderr.trim().split('\n')).toEqual([
      expect.stringMatching(/error: b\.toml:7:24: rules\.0\.when\.cel request has no metod/),
      expect.stringMatching(/warning: c\.toml:4:1: rules\.0 the rule "part" adds nothing: a\/all covers it/),
      expect.stringContaining('policy.example.toml'),
    ]);
    expect(await cli('validate', join(dir, 'a.toml'))).toMatchObject({
      code: 0,
      stderr: expect.stringContaining('alterd policy add'),
    });
  });

  test('test runs cases and reports drift with 1', async () => {
    const dir = directory();
    mkdirSync(join(dir, 'policies'));
    writeFileSync(
      join(dir, 'policies', 'a.toml'),
      'name = "a"\nlayer = "agent"\ntargets = ["bot"]\n' +
        rule('get-only', 'require', 'when = { methods = ["GET"] }') +
        rule('slow', 'limit', 'limit = { kind = "fixed_window", requests = 2, per = "1h" }\nwhen = { paths = ["/slow"] }') +
        rule('ask', 'require_approval', 'when = { groups = ["interns"] }') +
        rule('model', 'deny', 'when = { json = [{ pointer = "/model", equals = "big" }] }'),
    );
    const cases = (last: string): string =>
      [
        'policies = "policies"',
        '[[cases]]\nname = "reads"\nagent = "bot"\nuser = ""\nurl = "https://api.test/x"\nexpect = "allow"',
        '[[cases]]\nname = "writes"\nagent = "bot"\nuser = ""\nmethod = "POST"\nurl = "https://api.test/x"\nexpect = "deny"\nrule = "a/get-only"',
        '[[cases]]\nname = "override"\nagent = "bot"\nuser = ""\nurl = "https://api.test/x"\nheaders = { X-HTTP-Method-Override = "DELETE" }\nexpect = "deny"',
        '[[cases]]\nname = "third"\nagent = "bot"\nuser = ""\nurl = "https://api.test/slow"\ntimes = 3\nexpect = "limited"\nrule = "a/slow"',
        '[[cases]]\nname = "intern"\nagent = "bot"\nuser = "ann"\ngroups = ["interns"]\nurl = "https://api.test/x"\nexpect = "approval"',
        '[[cases]]\nname = "unknown user"\nagent = "bot"\nurl = "https://api.test/x"\nexpect = "deny"\nrule = "a/ask"',
        `[[cases]]\nname = "body"\nagent = "bot"\nuser = ""\nurl = "https://api.test/x"\nbody = '{"model":"big"}'\nexpect = "${last}"`,
      ].join('\n');
    writeFileSync(join(dir, 'cases.toml'), cases('deny'));
    const passed = await cli('test', join(dir, 'cases.toml'));
    expect([passed.code, passed.stderr]).toEqual([0, '']);
    writeFileSync(join(dir, 'cases.toml'), cases('allow'));
    const drifted = await cli('test', join(dir, 'cases.toml'));
    expect(drifted.code).toBe(1);
    expect(drifted.stdout).toMatch(/body +DRIFT +allow +deny a\/model/);
    writeFileSync(join(dir, 'cases.toml'), '[[cases]]\nname = "x"\nurl = "nowhere"\nexpect = "maybe"\n');
    const wrong = await cli('test', join(dir, 'cases.toml'));
    expect([wrong.code, wrong.stderr]).toEqual([2, expect.stringContaining('cases.toml:3:7: cases.0.url must be a URL')]);
  });
});

describe('what is in force', () => {
  test('add, list, show, replace, remove; each change is audited and a version of its own', async () => {
    const before = (await wall.daemon.api<{ version: number }>('GET', '/v1/policies')).version;
    const text = policy('office', rule('no-delete', 'deny', 'when = { methods = ["DELETE"] }'));
    expect((await cli('add', file(text))).code).toBe(0);
    const again = await cli('add', file(text));
    expect([again.code, again.stderr]).toEqual([5, expect.stringContaining('--replace')]);
    expect((await runInside(wall.daemon.home, ['--yes', 'policy', 'add', '--replace', file(`${text}\n`)])).code).toBe(0);
    expect((await cli('list')).stdout).toMatch(/office +agent +bot-\d+ +enforce +1 +\(the API\)/);
    expect((await cli('show', 'office')).stdout.trim()).toBe(text.trim());
    const { version } = await wall.daemon.api<{ version: number }>('GET', '/v1/policies');
    expect(version).toBe(before + (before === 0 ? version : 2));
    expect((await cli('list', '--versions')).stdout).toContain(String(version));

    const refusal = await agent.ask('/repos/1', { method: 'DELETE' });
    expect(refusal.status).toBe(403);
    const id = refusal.header('alter-request-id') as string;
    const why = (await cli('explain', id)).stdout;
    expect(why).toContain('The rule office/no-delete decided (rule_denied).');
    expect(why).toContain('condition methods DELETE: met');
    expect(why).toContain('It would pass: a request that is not methods DELETE.');

    expect((await runInside(wall.daemon.home, ['policy', 'remove', 'office'])).code).not.toBe(0);
    expect((await runInside(wall.daemon.home, ['--yes', 'policy', 'remove', 'office'])).code).toBe(0);
    expect((await agent.ask('/repos/1', { method: 'DELETE' })).status).toBe(200);
    // The rule is explained as it was then.
    expect((await cli('explain', id)).stdout).toContain('condition methods DELETE: met');
    const { entries } = await wall.daemon.api<{ entries: { action: string }[] }>('GET', '/v1/audit?kind=event&limit=10');
    expect(entries.map(({ action }) => action)).toEqual(
      expect.arrayContaining(['policy.created', 'policy.replaced', 'policy.removed']),
    );
  });

  test('a requirement that was not met is explained by what it lacks; a monitored rule by what it would have done', async () => {
    const late = policy('late', rule('hours', 'require', 'when = { paths = ["/nowhere"], before = 2001-01-01T00:00:00Z }'));
    await wall.daemon.api('POST', '/v1/policies', { toml: late });
    const id = (await agent.ask('/user')).header('alter-request-id') as string;
    expect((await cli('explain', id)).stdout).toContain(
      'It would pass: a request with before 2001-01-01T00:00:00.000Z and paths /nowhere.',
    );
    await wall.daemon.api('POST', '/v1/policies', { toml: late.replace('layer', 'mode = "monitor"\nlayer'), replace: true });
    expect((await agent.ask('/user', { method: 'PUT' })).status).toBe(200);
    const row = await wall.row({ method: 'PUT', path: '/user' });
    expect(row.details).toEqual({ would_deny: 'late/hours' });
    await wall.daemon.api('DELETE', '/v1/policies/late');
  });
});

describe('before a change is made', () => {
  test('diff shows what existing grants newly may and may not', async () => {
    const strict = file(policy('d', rule('only', 'require', 'when = { methods = ["GET"], paths = ["/repos/**"] }')));
    const wide = file(policy('d', rule('only', 'require', 'when = { methods = ["GET", "DELETE"], paths = ["/repos/**"] }')));
    const narrowing = await cli('diff', 'current', strict);
    expect(narrowing.stdout).toMatch(/newly denied +bot-\d+ +work +api\.good\.test +POST,PUT,PATCH,DELETE,HEAD|newly denied/);
    expect(narrowing.stderr).not.toContain('widens');
    const widening = await cli('diff', strict, wide);
    expect(widening.stdout).toMatch(/! newly allowed +bot-\d+ +work +api\.good\.test +DELETE +\/repos\/\*\* +d\/only/);
    expect(widening.stderr).toContain('widens');
    const monitored = await cli(
      'diff',
      strict,
      file(policy('d', rule('only', 'require', 'when = { methods = ["GET"] }'), 'mode = "monitor"\n')),
    );
    expect(monitored.stderr).toContain('widens');
    expect((await cli('diff', strict, strict)).stderr).toContain('Nothing changes');
  });

  test('simulate replays the journal; what no row holds is undetermined', async () => {
    const set = file(
      policy(
        's',
        rule('gets', 'require', 'when = { methods = ["GET"] }') +
          rule('header', 'deny', 'when = { paths = ["/user"], headers = [{ name = "X", exists = true }] }'),
      ),
    );
    const { code, stdout, stderr } = await cli('simulate', set, '--agent', agent.name);
    expect([code, stdout]).toEqual([0, expect.stringMatching(/allow +deny +bot-\d+ +DELETE api\.good\.test\/repos\/1 +s\/gets/)]);
    expect(stdout).toMatch(/allow +undetermined +bot-\d+ +GET api\.good\.test\/user +s\/header/);
    expect(stderr).toContain('Undetermined');
  });

  test('suggest writes a policy that lets the recorded requests through and little else', async () => {
    const { code, stdout, stderr } = await cli('suggest', '--agent', agent.name);
    expect([code, stderr]).toEqual([
      0,
      expect.stringMatching(/GET api\.good\.test\/repos\/\* {2}\(seen 2 times; wider than what was seen\)/),
    ]);
    const set = file(stdout);
    expect((await cli('validate', set)).code).toBe(0);
    const replayed = await cli('simulate', set, '--agent', agent.name);
    expect(replayed.stderr).toMatch(/No verdict would be another one|0 denied/);
    await wall.daemon.api('POST', '/v1/policies', { toml: stdout });
    expect((await agent.ask('/repos/77')).status).toBe(200);
    expect((await agent.ask('/repos/77/issues')).status).toBe(200);
    for (const [method, path] of [
      ['GET', '/admin'],
      ['POST', '/repos/1'],
      ['DELETE', '/repos/1/issues'],
      ['GET', '/repos/1/hooks'],
    ] as const)
      expect([method, path, (await agent.ask(path, { method })).status]).toEqual([method, path, 403]);
    await wall.daemon.api('DELETE', `/v1/policies/${agent.name}-seen`);
    expect((await cli('suggest', '--agent', 'nobody')).code).toBe(4);
  });

  test('validate without a file asks the daemon and names targets that do not exist', async () => {
    await wall.daemon.api('POST', '/v1/policies', {
      toml: `name = "typo"\nlayer = "agent"\ntargets = ["bto"]\n${rule('x', 'deny', 'when = { methods = ["PUT"] }')}`,
    });
    const { code, stderr } = await cli('validate');
    expect([code, stderr]).toEqual([1, expect.stringContaining('targets "bto" is no agent that exists')]);
    await wall.daemon.api('DELETE', '/v1/policies/typo');
  });
});
