/** The CLI as people run it: a process, with its exit status, its stdout for data and its stderr for people. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ExplainView } from '../../../src/api/explain.ts';
import type { EntryView, SessionView } from '../../../src/api/views.ts';
import { startTestDaemon, type TestDaemon } from '../../helpers/daemon.ts';
import { startOrigin, type TestOrigin } from '../../helpers/origin.ts';
import { makePki } from '../../helpers/pki.ts';
import { temporaryDirectory } from '../../helpers/temporary.ts';
import { type CliOptions, type CliResult, ended, runCli, runInside, spawnCli, untilSaid } from './cli-process.ts';

const MARKER = 'SEKRET-marker-cli-value';
const directory = temporaryDirectory();
let daemon: TestDaemon;
let origin: TestOrigin;
let said = '';

const cli = async (args: readonly string[], options: CliOptions = {}): Promise<CliResult> => {
  const result = await runCli(daemon.home, args, options);
  said += result.stdout + result.stderr;
  return result;
};
/** Without a process of its own. */
const inside = async (...args: readonly string[]): Promise<CliResult> => {
  const result = await runInside(daemon.home, args);
  said += result.stdout + result.stderr;
  return result;
};
const json = async <T>(...args: readonly string[]): Promise<T> => {
  const { code, stdout, stderr } = await inside(...args, '--output', 'json');
  expect(code, stderr).toBe(0);
  return JSON.parse(stdout) as T;
};

beforeAll(async () => {
  const pki = makePki();
  origin = await startOrigin(pki);
  daemon = await startTestDaemon({
    config: [
      '[upstream]',
      `ca_file = ${JSON.stringify(pki.caFile)}`,
      '[upstream.resolve]',
      `"api.acme.test:443" = "127.0.0.1:${origin.port}"`,
    ].join('\n'),
  });
  await daemon.api('POST', '/v1/agents', { name: 'runner' });
});
afterAll(async () => {
  await daemon.stop();
  await origin.close();
});

/** An unmodified program: Node's own fetch, which knows nothing of the proxy but its environment. */
const FETCH = (url: string, method = 'GET'): string[] => [
  process.execPath,
  '-e',
  `fetch(${JSON.stringify(url)}, { method: ${JSON.stringify(method)} }).then(async (r) => console.log(r.status, await r.text()))`,
];

describe("the user's path", () => {
  test('from a stored secret to an explained request', async () => {
    const added = await cli(['secret', 'add', 'acme', '--host', 'api.acme.test', '--token-stdin'], { input: `${MARKER}\n` });
    expect(added).toMatchObject({ code: 0, stderr: expect.stringContaining('alterd agent create') });

    const created = await cli(['agent', 'create', 'research-bot']);
    expect(created).toMatchObject({ code: 0, stdout: expect.stringMatching(/^key +alter_key_agent_\w+$/m) });
    expect(created.stderr).toMatch(/shown only now[\s\S]*alterd run --agent research-bot/);

    const granted = await cli([
      'grants',
      'create',
      'acme',
      '--agent',
      'research-bot',
      '--methods',
      'GET',
      '--paths',
      '/user,/repos/**',
      '--allow-private',
    ]);
    expect(granted).toMatchObject({
      code: 0,
      stderr: expect.stringContaining('alterd run --agent research-bot -- curl -s https://api.acme.test/user'),
    });

    const allowed = await cli(['run', '--agent', 'research-bot', '--', ...FETCH('https://api.acme.test/user')]);
    expect(allowed).toMatchObject({ code: 0, stdout: expect.stringMatching(/^200 /) });
    expect(origin.arrivals.at(-1)?.headers.authorization).toBe(`Bearer ${MARKER}`);

    const tail = await cli(['audit', 'tail', '--kind', 'exchange']);
    const id = /req_\w+/.exec(tail.stdout)?.[0] ?? '';
    expect(tail).toMatchObject({ code: 0, stderr: expect.stringContaining(`alterd explain ${id}`) });
    const explained = await cli(['explain', id]);
    expect(explained).toMatchObject({ code: 0, stdout: expect.stringMatching(/^ALLOWED[\s\S]*credential acme/) });
  });

  test('a refusal reaches the program as a problem, and is explained with the command that allows it', async () => {
    const before = origin.arrivals.length;
    const refused = await cli(['run', '--agent', 'research-bot', '--', ...FETCH('https://api.acme.test/user', 'DELETE')]);
    expect(refused.stdout).toMatch(/^403 .*"method_not_allowed"/);
    expect(origin.arrivals).toHaveLength(before);
    const [entry] = await json<EntryView[]>('audit', 'list', '--decision', 'deny', '--limit', '1');
    const { verdict, fix } = await json<ExplainView>('explain', entry?.request_id ?? '');
    expect([verdict, fix.join('\n')]).toEqual(['refused', expect.stringContaining('--methods GET,DELETE')]);
  });

  test('a session is narrower than its agent where that is asked', async () => {
    const denied = await cli([
      'run',
      '--agent',
      'research-bot',
      '--deny',
      'path=/user',
      '--',
      ...FETCH('https://api.acme.test/user'),
    ]);
    expect(denied.stdout).toMatch(/^403 .*"session_path_denied"/);
  });
});

describe('run', () => {
  const run = (...args: readonly string[]): Promise<CliResult> => cli(['run', '--agent', 'runner', ...args]);

  test.each([
    ['the status of the command', ['--', 'sh', '-c', 'exit 42'], 42],
    ['128 and the signal that ended it', ['--', 'sh', '-c', 'kill -TERM $$'], 143],
    ['127 for a command that is not there', ['--', 'no-such-command-here'], 127],
    ['126 for a file that can not be executed', ['--', '/etc/passwd'], 126],
    ['2 without a separator before options', ['sh', '-c', 'true'], 2],
    ['2 for a denial that means nothing', ['--deny', 'sometimes', '--', 'true'], 2],
    ['4 for a grant that is not there', ['--grant', 'none', '--', 'true'], 4],
    ['0 for a single word without a separator', ['true'], 0],
  ])('answers %s', async (_name, args, code) => {
    expect(await run(...args)).toMatchObject({ code });
  });

  test('says which command is not there', async () => {
    expect((await run('--', 'no-such-command-here')).stderr).toContain('alterd: error: command not found: no-such-command-here');
  });

  test('an unknown agent is 4, and no agent at all 2', async () => {
    expect((await inside('run', '--agent', 'nobody', '--', 'true')).code).toBe(4);
    expect((await inside('run', '--', 'true')).code).toBe(2);
  });

  test('gives the key in the environment alone, with names of the session, and without what would get in the way', async () => {
    const script =
      'tr "\\0" " " </proc/$PPID/cmdline; echo; printf "%s|%s|%s|%s" "$HTTPS_PROXY" "$ALTERD_AGENT" "$SSL_CERT_DIR" "$KEPT"';
    const { stdout } = await cli(['run', '--agent', 'runner', '--', 'sh', '-c', script], {
      env: { SSL_CERT_DIR: '/x', KEPT: 'yes' },
    });
    const [line = '', values = ''] = stdout.split('\n');
    expect(line).not.toContain('alter_key_');
    expect(values).toMatch(new RegExp(`^http://runner:alter_key_session_\\w+@127\\.0\\.0\\.1:${daemon.port}\\|runner\\|\\|yes$`));
  });

  test('what a grant covers on loopback goes through the proxy, which is said once; the rest of loopback does not', async () => {
    const host = `localhost:${origin.port}`;
    await daemon.api('POST', '/v1/agents', { name: 'local' });
    await cli(['secret', 'add', 'loop', '--host', host, '--token-stdin'], { input: MARKER });
    await inside('grant', 'create', 'loop', '--agent', 'local', '--allow-private');
    const words = [
      ...FETCH(`https://${host}/user`).slice(0, 2),
      `console.log(process.env.NO_PROXY); ${FETCH(`https://${host}/user`)[2]}`,
    ];
    const { stdout, stderr } = await cli(['run', '--agent', 'local', '--', ...words]);
    expect(stdout).toMatch(/^127\.0\.0\.1,::1\n200 /);
    expect(origin.arrivals.at(-1)?.headers.authorization).toBe(`Bearer ${MARKER}`);
    expect(stderr.match(/Calls to localhost go through alterd/g)).toHaveLength(1);
    const other = await run('--', 'sh', '-c', 'echo "$NO_PROXY"');
    expect([other.stdout, other.stderr]).toEqual(['localhost,127.0.0.1,::1\n', '']);
  });

  test('passes a signal on, and revokes the session whatever ended the command', async () => {
    const child = spawnCli(daemon.home, [
      'run',
      '--agent',
      'runner',
      '--',
      'sh',
      '-c',
      'trap "exit 7" TERM; echo ready; while :; do sleep 0.05; done',
    ]);
    await untilSaid(child.stdout, /ready/);
    expect(await json<SessionView[]>('session', 'list')).toHaveLength(1);
    child.kill('SIGTERM');
    expect(await ended(child)).toBe(7);
    expect(await json<SessionView[]>('session', 'list')).toEqual([]);
  });
});

describe('env', () => {
  test.each([
    ['bash', /^export HTTPS_PROXY='http:\/\/runner:alter_key_session_/m],
    ['fish', /^set -gx HTTPS_PROXY /m],
    ['dotenv', /^HTTPS_PROXY=http/m],
  ])('prints exports for %s and says on stderr how long they are good', async (shell, pattern) => {
    const { code, stdout, stderr } = await inside('env', '--agent', 'runner', '--shell', shell, '--ttl', '5m');
    expect([code, stdout]).toEqual([0, expect.stringMatching(pattern)]);
    expect(stderr).toMatch(/good until \d{4}-/);
    expect(stdout).not.toContain('good until');
  });

  test('a session that it made can be ended', async () => {
    const { session_id } = await json<{ session_id: string }>('env', '--agent', 'runner');
    expect(await inside('env', '--revoke', session_id)).toMatchObject({ code: 0, stdout: '' });
    for (const { session_id: other } of await json<SessionView[]>('sessions', 'list')) await inside('session', 'revoke', other);
    expect(await json<SessionView[]>('session', 'list')).toEqual([]);
  });
});

describe('what is refused, and how it ends', () => {
  test.each<[string, string[], number, RegExp]>([
    ['an unknown command', ['agnet'], 2, /unknown command 'agnet'[\s\S]*Did you mean agent/],
    ['an unknown verb', ['agent', 'craete'], 2, /unknown command 'craete'[\s\S]*Did you mean create/],
    ['an unknown option', ['agent', 'list', '--outptu', 'json'], 2, /unknown option '--outptu'[\s\S]*--output/],
    [
      'a missing argument',
      ['agent', 'create'],
      2,
      /missing required argument[\s\S]*`alterd agent create --help`\. It is written: alterd agent create \[options\] <name>/,
    ],
    ['words in the wrong order', ['secret', 'github', 'add'], 2, /unknown command 'github'[\s\S]*See `alterd secret --help`\./],
    ['a command without its --', ['run', '--agent', 'runner', 'curl', '-s', 'https://x.test'], 2, /Put -- before the command/],
    [
      'an agent name with a space',
      ['agent', 'create', 'My Agent'],
      2,
      /"My Agent": use 1 to 63[\s\S]*`alterd agent create my-agent`/,
    ],
    ['a session that is not there', ['session', 'revoke', 'nope'], 4, /`alterd session list`/],
    ['a missing verb', ['agent'], 2, /Usage: alterd agent/],
    ['a wrong format', ['status', '--output', 'xml'], 2, /Allowed choices/],
    ['what is not there', ['agent', 'show', 'nobody'], 4, /There is no agent "nobody"/],
    ['a name with a slip', ['run', '--agent', 'runenr', '--', 'true'], 4, /no agent "runenr"[\s\S]*hint: Did you mean runner\?/],
    ['a provider with a slip', ['provider', 'show', 'gihtub'], 4, /Did you mean github\?/],
    [
      'a secret of a provider with a slip',
      ['secret', 'add', 'gihtub', '--token-stdin'],
      2,
      /Did you mean github\? .*--host HOST/,
    ],
    ['a grant for a slip', ['grant', 'create', 'gihtub', '--agent', 'runner'], 4, /Did you mean github\?/],
    ['what is there already', ['agent', 'create', 'runner'], 5, /already/],
    ['a name that is none', ['agent', 'create', 'Not A Name'], 2, /name/],
    ['a secret on the command line', ['secret', 'add', 'github', '--token', MARKER], 2, /never from the command line/],
    ['a secret in an option with its value', ['secret', 'add', 'github', `--token=${MARKER}`], 2, /never from the command line/],
    ['a provider that is not known, without a host', ['secret', 'add', 'unheard-of', '--token-stdin'], 2, /--host/],
    ['a grant for nobody', ['grant', 'create', 'acme'], 2, /--agent NAME, --user USER, --group NAME and --system/],
    ['a moment in the past', ['grant', 'create', 'acme', '--system', '--expires', '2001-01-01'], 2, /past/],
    ['a system store that nobody asked for', ['ca', 'trust'], 2, /--system/],
    ['an unknown shell', ['completion', 'tcsh'], 2, /bash, zsh, fish/],
  ])('%s', async (_name, args, code, pattern) => {
    const result = await inside(...args);
    expect(result).toMatchObject({ code, stdout: '' });
    expect(result.stderr).toMatch(pattern);
    expect(result.stderr).not.toContain(MARKER);
  });

  test.each([
    ['agent', ['agent', 'remove', 'runner']],
    ['secret', ['secret', 'remove', 'acme', '--cascade']],
    ['CA', ['ca', 'rotate']],
  ])('without a terminal and without --yes, no %s is touched', async (_name, args) => {
    const events = (await json<EntryView[]>('audit', 'list', '--kind', 'event', '--limit', '1'))[0]?.request_id;
    expect(await cli(args)).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining('--yes') });
    expect((await json<EntryView[]>('audit', 'list', '--kind', 'event', '--limit', '1'))[0]?.request_id).toBe(events);
  });

  test('without a daemon it is 1, and says how to start it', async () => {
    const result = await runCli(directory(), ['status']);
    expect(result).toMatchObject({
      code: 1,
      stdout: '',
      stderr: expect.stringMatching(/no daemon answers[\s\S]*alterd start.*npm start/),
    });
  });

  test('an empty stdin, and a token of another shape, say what was expected', async () => {
    const nothing = await cli(['secret', 'add', 'github', '--token-stdin']);
    expect([nothing.code, nothing.stderr]).toEqual([2, expect.stringMatching(/nothing came on stdin.*\n.*--token-stdin < FILE/)]);
    const other = await cli(['secret', 'add', 'github', '--token-stdin'], { input: MARKER });
    expect([other.code, other.stderr]).toEqual([
      2,
      expect.stringMatching(/the field token: does not look.*\n.*provider show github/),
    ]);
  });

  test('every problem of a configuration is a line, with status 2', async () => {
    const file = join(directory(), 'wrong.toml');
    writeFileSync(file, 'egress = "maybe"\ncolour = "red"\n[limits]\nheaders = -1\n');
    const { code, stderr } = await inside('config', 'validate', file);
    expect(code).toBe(2);
    expect(stderr.match(/alterd: error:/g)).toHaveLength(3);
  });
});

describe('what is there already', () => {
  const add = (...args: readonly string[]): Promise<CliResult> =>
    cli(['secret', 'add', 'bearer', '--host', 'api.twice.test', '--token-stdin', ...args], { input: MARKER });

  test('a second secret of a name is refused with both ways on, and nothing is stored under another name', async () => {
    expect((await add()).code).toBe(0);
    const again = await add();
    expect(again).toMatchObject({ code: 5, stdout: '', stderr: expect.stringContaining('There is a secret "bearer" already') });
    expect(again.stderr).toMatch(/`alterd secret rotate bearer`.*`alterd secret add bearer --name OTHER`/);
    expect((await add('--name', 'Not A Name')).stderr).toMatch(/error: --name: use 1 to 63/);
    expect((await add('--name', 'bearer-2')).code).toBe(0);
    const secrets = await json<{ name: string }[]>('secret', 'list');
    expect(secrets.map(({ name }) => name).filter((name) => name.startsWith('bearer'))).toEqual(['bearer', 'bearer-2']);
  });

  test('a grant for a name is for the secret of exactly that name, and another one beside it is told before it refuses', async () => {
    const first = await inside('grant', 'create', 'bearer', '--agent', 'runner', '--methods', 'GET', '--label', 'one');
    expect(first).toMatchObject({ code: 0, stdout: expect.stringMatching(/^secret +bearer$/m) });
    expect(first.stderr).toContain('for bearer-2 say --secret NAME');
    expect(first.stderr).not.toContain('warning');
    const second = await inside('grant', 'create', 'bearer-2', '--agent', 'runner', '--methods', 'POST', '--label', 'two');
    expect(second).toMatchObject({ code: 0, stdout: expect.stringMatching(/^secret +bearer-2$/m) });
    expect(second.stderr).toMatch(/warning: runner has another grant for api\.twice\.test: \S+ \(one\)\. .*\(ambiguous_grant\)/);
    expect(second.stderr).toMatch(/`alterd run --grant \S+`, the header `Alter-Grant-Id: \S+`, `Alter-Label: two`/);
    const third = await inside('grant', 'create', 'bearer', '--system', '--label', 'three');
    expect(third.stderr).not.toContain('warning');
  });
});

describe('grant update', () => {
  test('changes how a grant is used, records what it was changed to, and takes it back', async () => {
    const { stdout } = await inside('grant', 'update', 'two', '--allow-private', '--allow-plaintext', '--approval', 'post');
    expect(stdout).toMatch(/^private addresses +allowed$/m);
    expect(stdout).toMatch(/^hosts +api\.twice\.test, http:\/\/api\.twice\.test$/m);
    expect(stdout).toMatch(/^asks before +POST$/m);
    const [entry] = await json<EntryView[]>('audit', 'list', '--action', 'grant.changed', '--limit', '1');
    expect(entry?.details).toMatchObject({ allow_private: true, allow_plaintext: true, approval: 'POST' });
    expect(entry?.details).not.toHaveProperty('expires_at');
    const back = await json<{ hosts: string[] }>(
      ...['grant', 'update', 'two', '--no-allow-private', '--no-allow-plaintext', '--approval', 'none', '--expires', '30d'],
    );
    expect(back).toMatchObject({ hosts: ['api.twice.test'], allow_private: false, allow_plaintext: false, approval: null });
    expect(await json('grant', 'update', 'two', '--expires', 'never')).toMatchObject({ expires_at: null });
  });

  test.each<[string, string[], RegExp]>([
    ['nothing', [], /say what to change[\s\S]*--help/],
    ['what it covers', ['--methods', 'GET,POST'], /--methods can't be changed[\s\S]*`alterd grant revoke two`/],
    ['a moment in the past', ['--expires', '2001-01-01'], /past/],
    ['a method that is never forwarded', ['--approval', 'TRACE'], /error: --approval: TRACE is never forwarded/],
  ])('%s is refused in the words of the command line', async (_name, args, pattern) => {
    const result = await inside('grant', 'update', 'two', ...args);
    expect(result).toMatchObject({ code: 2, stdout: '' });
    expect(result.stderr).toMatch(pattern);
  });

  test('a host over plain http names the flag that it needs', async () => {
    const { stderr } = await inside('grant', 'create', 'bearer', '--agent', 'runner', '--host', 'http://api.twice.test');
    expect(stderr).toMatch(/error: --host: http:\/\/ needs --allow-plaintext/);
  });
});

describe('output', () => {
  test('lists are JSON arrays, or a value a line', async () => {
    expect(await json<object[]>('agents', 'list')).toEqual(
      expect.arrayContaining([expect.objectContaining({ name: 'runner', status: 'active', grants: 2 })]),
    );
    const { stdout } = await inside('provider', 'list', '--output', 'jsonl');
    expect(
      stdout
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line))
        .some((provider: { slug: string }) => provider.slug === 'github'),
    ).toBe(true);
  });

  test('--quiet leaves stderr empty', async () => {
    expect(await inside('--quiet', 'grant', 'list')).toMatchObject({ code: 0, stderr: '' });
  });

  test('a reader that has enough is no failure', async () => {
    const child = spawnCli(daemon.home, ['provider', 'list', '--output', 'json']);
    const stderr = untilSaid(child.stderr, /./).catch(() => '');
    child.stdout?.once('data', () => child.stdout?.destroy());
    expect(await ended(child)).toBe(0);
    expect(await stderr).toBe('');
  });

  test('audit tail --follow shows what comes, once', async () => {
    const child = spawnCli(daemon.home, ['audit', 'tail', '--follow', '--lines', '1', '--output', 'jsonl']);
    await untilSaid(child.stdout, /\n/);
    const next = untilSaid(child.stdout, /"agent":"followed".*\n/);
    await daemon.api('POST', '/v1/agents', { name: 'followed' });
    expect((await next).match(/"agent.created"/g)).toHaveLength(1);
    child.kill('SIGINT');
    await ended(child);
  });

  test('doctor tries the clients of this machine and answers as data', async () => {
    const { stdout } = await cli(['doctor', '--agent', 'runner', '--output', 'json']);
    const findings = JSON.parse(stdout) as { check: string; status: string; detail: string }[];
    const of = (check: string): string | undefined => findings.find((finding) => finding.check === check)?.status;
    expect([of('daemon'), of('proxy'), of('CA bundle'), of('audit journal')]).toEqual(['ok', 'ok', 'ok', 'ok']);
    expect([of('node fetch'), of('node https')]).toEqual(['ok', 'ok']);
    expect(stdout).not.toMatch(/alter_key_\w+_\w{8}/);
  });

  test('doctor says what is wrong when nothing runs', async () => {
    const { code, stdout } = await runCli(directory(), ['doctor', '--output', 'json']);
    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toContainEqual(
      expect.objectContaining({ check: 'daemon', status: 'failed', fix: expect.stringContaining('alterd start') }),
    );
  });
});

test('no command of this file said the stored secret', () => {
  expect(said).toContain('research-bot');
  expect(said).not.toContain(MARKER);
});
