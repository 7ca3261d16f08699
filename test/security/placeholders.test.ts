/** S-64, S-65, S-67 … S-69, S-71 … S-74: placeholders in wrong places, and every output in which a secret could show. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readdirSync, readFileSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startOrigin, type TestOrigin } from '../helpers/origin.ts';
import { makePki, type TestPki } from '../helpers/pki.ts';
import { PROGRAM } from '../helpers/program.ts';
import { type DaemonProcess, startProcess } from './support/child.ts';
import {
  BEARER,
  expectRefusal,
  GOOD,
  leaks,
  RIVAL,
  RIVAL_SECRET,
  SECRET,
  startWall,
  until,
  valuesOf,
  type Wall,
  type WallAgent,
} from './support/wall.ts';
import { type RawOrigin, startRawOrigin } from './support/wire.ts';

const run = promisify(execFile);
let wall: Wall;
let raw: RawOrigin;
let bot: WallAgent;

beforeAll(async () => {
  wall = await startWall({
    resolve: { 'raw.good.test:443': '127.0.0.1:9', 'closed.good.test:443': '127.0.0.1:9' },
  });
  raw = await startRawOrigin(null);
  bot = await wall.agent();
});
afterAll(async () => {
  await raw.close();
  await wall.stop();
});

const arrivals = (): number => wall.good.arrivals.length;
const last = () => wall.good.arrivals.at(-1)!;

it('guard: the placeholder becomes the secret at the host of its grant', async () => {
  expect((await bot.ask('/', { headers: [`Authorization: Bearer ${bot.placeholder}`] })).status).toBe(200);
  expect(valuesOf(last().rawHeaders, 'authorization')).toEqual([BEARER]);
  await wall.row({ agent: bot.name, outcome: 'success', replaced: false });
});

it('S-64 a placeholder at the host of another grant is refused; that host’s own secret still works', async () => {
  await wall.daemon.api('POST', '/v1/grants', { credential: 'rival', agent: bot.name, hosts: [RIVAL], allow_private: true });
  const at = { connect: `${RIVAL}:443`, sni: RIVAL, host: RIVAL };
  const before = wall.rival.arrivals.length;
  expectRefusal(
    await bot.ask('/', { ...at, headers: [`Authorization: Bearer ${bot.placeholder}`] }),
    403,
    'policy_violation',
    'placeholder_wrong_host',
  );
  await wall.row({ agent: bot.name, host: RIVAL, error: 'policy_violation', policy_error: 'placeholder_wrong_host' });
  expect(wall.rival.arrivals.length).toBe(before);
  expect((await bot.ask('/', at)).status).toBe(200);
  expect(valuesOf(wall.rival.arrivals.at(-1)!.rawHeaders, 'authorization')).toEqual([`Bearer ${RIVAL_SECRET}`]);
});

it('S-64 the placeholder of another agent is one that nobody minted', async () => {
  const other = await wall.agent();
  const answer = await bot.ask('/', { headers: [`Authorization: Bearer ${other.placeholder}`] });
  expectRefusal(answer, 403, 'policy_violation', 'unknown_placeholder');
  await wall.row({ agent: bot.name, policy_error: 'unknown_placeholder' });
  expect(answer.body).not.toContain(other.grantId);
});

it('S-65 a placeholder anywhere else stays what it is', async () => {
  const { placeholder } = bot;
  const answer = await bot.ask(`/p/${placeholder}?q=${placeholder}`, {
    method: 'POST',
    headers: [`X-Debug: ${placeholder}`, `Cookie: a=${placeholder}`],
    body: `{"token":"${placeholder}"}`,
  });
  expect(answer.status).toBe(200);
  expect(last().url).toBe(`/p/${placeholder}?q=${placeholder}`);
  expect(valuesOf(last().rawHeaders, 'x-debug')).toEqual([placeholder]);
  expect(valuesOf(last().rawHeaders, 'cookie')).toEqual([`a=${placeholder}`]);
  expect(last().body.toString()).toBe(`{"token":"${placeholder}"}`);
  expect(valuesOf(last().rawHeaders, 'authorization')).toEqual([BEARER]);
});

it.each(['alter_ph_0000000000000000000000aa', 'alter_ph_'])(
  'S-67 the unknown placeholder %s is refused, not forwarded',
  async (placeholder) => {
    for (const header of [
      `Authorization: Bearer ${placeholder}`,
      `X-Api-Key: ${placeholder}`,
      `Authorization: Basic ${Buffer.from(`x:${placeholder}`).toString('base64')}`,
    ]) {
      const before = arrivals();
      expectRefusal(await bot.ask('/', { headers: [header] }), 403, 'policy_violation', 'unknown_placeholder');
      await wall.row({ agent: bot.name, policy_error: 'unknown_placeholder', outcome: 'refused' });
      expect(arrivals()).toBe(before);
    }
  },
);

it('S-68 no failure of an origin shows the secret that was on its way there', async () => {
  const { configFile } = wall.daemon.paths;
  const { writeFileSync } = await import('node:fs');
  writeFileSync(
    configFile,
    readFileSync(configFile, 'utf8').replace(
      '"raw.good.test:443" = "127.0.0.1:9"',
      `"raw.good.test:443" = "127.0.0.1:${raw.port}"`,
    ),
  );
  await wall.daemon.running.reload();
  await wall.daemon.api('POST', '/v1/secrets', {
    name: 'asquery',
    provider: 'my-query',
    fields: { token: SECRET },
    inject: [{ in: 'query', name: 'key', template: '{token}' }],
  });
  const agent = await wall.agent({ credential: 'asquery', hosts: ['raw.good.test', 'closed.good.test'] });
  const at = (host: string) => ({ connect: `${host}:443`, sni: host, host });
  const babble = async (): Promise<void> => {
    for (;;) (await raw.next()).write('this is no TLS\r\n');
  };
  void babble();
  // Not TLS at all, and nobody there.
  const answers = [await agent.ask('/a?b=c', at('raw.good.test')), await agent.ask('/a?b=c', at('closed.good.test'))];
  for (const answer of answers) {
    expect(answer.status).toBe(502);
    expect(leaks(answer.body + answer.headers.join('\n'))).toEqual([]);
  }
  await wall.row({ agent: agent.name, host: 'closed.good.test', error: 'upstream_unreachable', outcome: 'provider_error' });
  await wall.row({ agent: agent.name, host: 'raw.good.test', outcome: 'provider_error', status: 502 });
  await wall.expectNoLeak();
});

describe('override modes', () => {
  const OWN = 'Authorization: Bearer ghs_own_session';

  it('S-73 always: the client’s value is replaced, and the row says so', async () => {
    expect((await bot.ask('/', { headers: [OWN] })).status).toBe(200);
    expect(valuesOf(last().rawHeaders, 'authorization')).toEqual([BEARER]);
    const row = await wall.row({ agent: bot.name, replaced: true, outcome: 'success' });
    expect(JSON.stringify(row)).not.toContain('ghs_own');
  });

  it('S-73 placeholder only: the client’s own value travels, the placeholder is filled, nothing is added', async () => {
    const agent = await wall.agent({ override: 'placeholder_only' });
    expect((await agent.ask('/', { headers: [OWN] })).status).toBe(200);
    expect(valuesOf(last().rawHeaders, 'authorization')).toEqual(['Bearer ghs_own_session']);
    expect((await agent.ask('/')).status).toBe(200);
    expect(valuesOf(last().rawHeaders, 'authorization')).toEqual([]);
    expect((await agent.ask('/', { headers: [`Authorization: token ${agent.placeholder}`] })).status).toBe(200);
    expect(valuesOf(last().rawHeaders, 'authorization')).toEqual([BEARER]);
  });

  it('S-73 if absent: only a missing value is filled', async () => {
    const agent = await wall.agent({ override: 'if_absent' });
    expect((await agent.ask('/', { headers: [OWN] })).status).toBe(200);
    expect(valuesOf(last().rawHeaders, 'authorization')).toEqual(['Bearer ghs_own_session']);
    expect((await agent.ask('/')).status).toBe(200);
    expect(valuesOf(last().rawHeaders, 'authorization')).toEqual([BEARER]);
  });
});

it('S-74 two grants for one host are ambiguous, never half of each; one credential may fill several places', async () => {
  const inject = [
    { in: 'header', name: 'X-One', template: '{one}' },
    { in: 'header', name: 'X-Two', template: '{two}' },
  ];
  await wall.daemon.api('POST', '/v1/secrets', {
    name: 'pair',
    provider: 'my-pair',
    fields: { one: SECRET, two: RIVAL_SECRET },
    inject,
  });
  const agent = await wall.agent({ credential: 'pair' });
  expect((await agent.ask('/')).status).toBe(200);
  expect([valuesOf(last().rawHeaders, 'x-one'), valuesOf(last().rawHeaders, 'x-two')]).toEqual([[SECRET], [RIVAL_SECRET]]);
  await wall.daemon.api('POST', '/v1/grants', {
    credential: 'demo',
    agent: agent.name,
    hosts: [GOOD],
    allow_private: true,
    label: 'second',
  });
  const before = arrivals();
  expectRefusal(await agent.ask('/'), 403, 'ambiguous_grant');
  await wall.row({ agent: agent.name, error: 'ambiguous_grant', status: 403 });
  expect(arrivals()).toBe(before);
  expect((await agent.ask('/', { headers: ['Alter-Label: second'] })).status).toBe(200);
  expect([valuesOf(last().rawHeaders, 'x-one'), valuesOf(last().rawHeaders, 'authorization')]).toEqual([[], [BEARER]]);
  const twice = {
    name: 'clash',
    provider: 'my-clash',
    fields: { one: SECRET },
    inject: [inject[0], { in: 'header', name: 'x_one', template: '{one}' }],
  };
  await expect(wall.daemon.api('POST', '/v1/secrets', twice)).rejects.toMatchObject({ problem: { error: 'invalid_input' } });
});

describe('the process', () => {
  let pki: TestPki;
  let origin: TestOrigin;
  let daemon: DaemonProcess;
  let agent: { key: string; proxyUrl: string };
  const asNobody = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : null;

  beforeAll(async () => {
    pki = makePki();
    origin = await startOrigin(pki);
    daemon = await startProcess({
      config: `[upstream]\nca_file = "${pki.caFile}"\nresolve = { "${GOOD}:443" = "127.0.0.1:${origin.port}" }\n`,
    });
    const stored = await daemon.cli(['secret', 'add', 'bearer', '--name', 'demo', '--token-stdin', '--host', GOOD], {
      input: SECRET,
    });
    expect(stored).toMatchObject({ code: 0 });
    agent = await daemon.agent('bot');
    await daemon.api('POST', '/v1/grants', { credential: 'demo', agent: 'bot', hosts: [GOOD], allow_private: true });
  });
  afterAll(async () => {
    await daemon.stop();
    await origin.close();
  });

  it('S-69 after a run at the highest verbosity the secret is in no file, log, journal or database page', async () => {
    for (const args of [
      [`https://${GOOD}/?key=v`],
      ['-d', 'x=1', `https://${GOOD}/post`],
      [`https://${GOOD}/%00`],
      ['-X', 'TRACE', `https://${GOOD}/`],
    ])
      await run('curl', ['-sS', '--proxy', agent.proxyUrl, '--cacert', daemon.caFile, ...args]);
    expect(origin.arrivals.map(({ headers }) => headers.authorization)).toEqual([BEARER, BEARER]);
    await daemon.api('GET', '/v1/audit');
    const files = readdirSync(daemon.home, { recursive: true, encoding: 'utf8' })
      .map((name) => join(daemon.home, name))
      .filter((file) => statSync(file).isFile());
    expect(files.length).toBeGreaterThan(5);
    for (const file of files) {
      const text = readFileSync(file, 'latin1');
      expect({ file, found: leaks(text) }).toEqual({ file, found: [] });
      expect({ file, key: text.includes(agent.key) }).toEqual({ file, key: false });
    }
    expect(leaks(daemon.said())).toEqual([]);
    expect(daemon.said()).not.toContain(agent.key);
  });

  it('S-71 SIGUSR1 opens no debugger', async () => {
    daemon.signal('SIGUSR1');
    daemon.signal('SIGUSR1');
    await daemon.api('GET', '/v1/status');
    expect(daemon.said()).not.toMatch(/Debugger listening/);
    const { stdout } = await run('sh', ['-c', `ls -l /proc/${daemon.pid}/fd | grep -o 'socket:\\[[0-9]*' | tr -dc '0-9\\n'`]);
    const inodes = new Set(stdout.trim().split('\n'));
    const listening = readFileSync('/proc/net/tcp', 'latin1')
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
      .filter((cells) => cells[3] === '0A' && inodes.has(cells[9] ?? ''));
    expect(listening.map((cells) => Number.parseInt((cells[1] as string).split(':')[1] as string, 16))).toEqual([daemon.port]);
  });

  it('S-71 another user reads neither memory nor environment of the daemon', async () => {
    if (asNobody === null) {
      console.log('not possible here: another user (needs root)');
      return;
    }
    for (const file of ['environ', 'mem', 'maps'])
      await expect(run('cat', [`/proc/${daemon.pid}/${file}`], asNobody), file).rejects.toThrow(/Permission denied/);
    await expect(run('sh', ['-c', `kill -USR1 ${daemon.pid}`], asNobody)).rejects.toThrow(/permitted/);
    await expect(run('cat', [join(daemon.home, 'config', 'master.key')], asNobody)).rejects.toThrow(/Permission denied/);
  });

  it('S-71 core dumps are off however the daemon was started, and can not be switched on again', async () => {
    // The process was started with `ulimit -c unlimited`: without the daemon's own doing both would be that.
    const limits = (): string[] | undefined =>
      /^Max core file size +(\S+) +(\S+)/m.exec(readFileSync(`/proc/${daemon.pid}/limits`, 'utf8'))?.slice(1, 3);
    await until(() => limits()?.[1] === '0');
    expect(limits()).toEqual(['0', '0']);
    const { stdout } = await daemon.cli(['--output', 'json', 'doctor', '--no-clients']);
    expect(stdout).toMatch(/"check": "core dumps",\s+"status": "ok"/);
  });

  it('S-71 where prlimit is missing the daemon starts, and log and doctor say that dumps are possible', async () => {
    const bare = await startProcess({ logLevel: 'info', env: { PATH: '/nonexistent' } });
    await until(() => /core dumps of this process stay possible/.test(bare.said()));
    expect(bare.said()).toMatch(/prlimit \(util-linux\) is not installed/);
    const { stdout } = await bare.cli(['--output', 'json', 'doctor', '--no-clients']);
    expect(stdout).toMatch(/"check": "core dumps",\s+"status": "exposed"/);
    await bare.stop();
  });

  it.fails('S-71 another program of the same user reads no memory', () => {
    const line = readFileSync(`/proc/${daemon.pid}/maps`, 'utf8')
      .split('\n')
      .find((each) => / rw-p /.test(each)) as string;
    const fd = openSync(`/proc/${daemon.pid}/mem`, 'r');
    const length = readSync(fd, Buffer.alloc(16), 0, 16, Number.parseInt(line, 16));
    closeSync(fd);
    expect(length).toBe(0);
  });

  it('S-72 no command line and no environment holds the secret; a key is on no command line', async () => {
    const wrapped = spawn(
      process.execPath,
      [PROGRAM, '--home', daemon.home, 'run', '--agent', 'bot', '--', 'sh', '-c', 'echo up; exec sleep 30'],
      { stdio: ['ignore', 'pipe', 'ignore'] },
    );
    await once(wrapped.stdout, 'data');
    let looked = 0;
    for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name) && name !== String(process.pid))) {
      let line = '';
      let environ = '';
      try {
        line = readFileSync(`/proc/${pid}/cmdline`, 'latin1');
        environ = readFileSync(`/proc/${pid}/environ`, 'latin1');
      } catch {
        continue;
      }
      looked++;
      expect({ pid, found: leaks(line + environ) }).toEqual({ pid, found: [] });
      expect(/alter_key_\w{20}/.test(line), line).toBe(false);
    }
    expect(looked).toBeGreaterThan(2);
    const ended = once(wrapped, 'exit');
    wrapped.kill('SIGTERM');
    await ended;
    const refused = await daemon.cli(['secret', 'add', 'bearer', '--name', 'argv', '--host', GOOD, '--token', SECRET]);
    expect(refused.code).not.toBe(0);
    expect(leaks(refused.stdout + refused.stderr)).toEqual([]);
    await until(async () => (await daemon.api<{ sessions: unknown[] }>('GET', '/v1/sessions')).sessions.length === 0);
  });
});
