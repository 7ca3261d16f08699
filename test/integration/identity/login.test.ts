/** People sign in from the command line, with a browser and with another device, and act from then on as who they are. */
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { runProgram } from '../../../src/cli/program.ts';
import { ANNA_SECRET, type PeopleWall, startPeopleWall } from '../../security/support/people.ts';
import { GOOD, valuesOf, type WallAgent } from '../../security/support/wall.ts';

const BROWSER = fileURLToPath(new URL('../../helpers/browser.mjs', import.meta.url));

let wall: PeopleWall;
let bot: WallAgent;

beforeAll(async () => {
  wall = await startPeopleWall();
  bot = await wall.agent(null);
  mkdirSync(join(wall.daemon.home, 'bin'));
  symlinkSync(process.execPath, join(wall.daemon.home, 'bin', 'node'));
});
afterAll(() => wall.stop());

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

interface Run {
  readonly account?: string;
  readonly onStderr?: (all: string) => void;
}

const browserEnv = (account: string): NodeJS.ProcessEnv => ({
  // Only what the browser needs: with a JDK on the path, each `run` would first make a trust store for it.
  PATH: join(wall.daemon.home, 'bin'),
  ISSUER_PORT: String(wall.issuer.port),
  ISSUER_CA: wall.pki.caFile,
  ACCOUNT: account,
});

/** The command line in this process: its start would be most of the time. */
async function alterd(args: readonly string[], { account = 'anna', onStderr = () => {} }: Run = {}): Promise<Ended> {
  let [stdout, stderr] = ['', ''];
  const code = await runProgram({
    argv: ['--home', wall.daemon.home, ...args],
    env: { HOME: wall.daemon.home, ...browserEnv(account), BROWSER },
    stdout: new Writable({
      write: (text, _encoding, done) => {
        stdout += text;
        done();
      },
    }),
    stderr: new Writable({
      write: (text, _encoding, done) => {
        stderr += text;
        onStderr(stderr);
        done();
      },
    }),
  });
  return { code, stdout, stderr };
}

const sessionFile = (): string => join(wall.daemon.paths.stateDir, 'user-session');

it('a browser signs in; whoami, delegate and run act for the person; logout ends it', async () => {
  const login = await alterd(['--output', 'json', 'login', '--issuer', 'corp']);
  expect(login).toMatchObject({ code: 0 });
  const handle = readFileSync(sessionFile(), 'utf8').trim();
  expect(statSync(sessionFile()).mode & 0o777).toBe(0o600);
  expect(login.stdout + login.stderr).not.toContain(handle);
  expect(JSON.parse(login.stdout)).toMatchObject({ user: { email: 'anna@good.test', groups: ['staff', 'writers'] } });
  const { user } = JSON.parse((await alterd(['--output', 'json', 'whoami'])).stdout) as { user: { id: string } };

  const grant = await wall.grant('anna', { user: user.id }, { label: 'mine' });
  const before = await alterd(['delegate', 'mine', '--agent', bot.name, '--expires', '1h']);
  expect(before).toMatchObject({ code: 0 });
  const { delegations } = await wall.daemon.api<{ delegations: Record<string, unknown>[] }>('GET', '/v1/delegations');
  expect(delegations).toEqual([
    expect.objectContaining({ grant_id: grant, user_id: user.id, agent: bot.name, status: 'active' }),
  ]);

  const call = `fetch('https://${GOOD}/run').then((r) => process.exit(r.ok ? 0 : 3))`;
  const script = join(wall.daemon.home, 'call.mjs');
  writeFileSync(script, call);
  const ran = await alterd(['run', '--user', '--agent', bot.name, '--', process.execPath, script]);
  expect(ran).toMatchObject({ code: 0 });
  expect(valuesOf(wall.good.arrivals.at(-1)?.rawHeaders ?? [], 'authorization')).toEqual([`Bearer ${ANNA_SECRET}`]);

  expect(await alterd(['logout'])).toMatchObject({ code: 0 });
  const after = await alterd(['whoami']);
  expect(after).toMatchObject({ code: 3, stderr: expect.stringContaining('alterd login') });
  const gone = wall.daemon.api('POST', '/v1/user-session/whoami', { user_session: handle });
  await expect(gone).rejects.toThrow(/re_auth_required/);
  const { entries } = await wall.daemon.api<{ entries: object[] }>('GET', '/v1/audit?limit=1000');
  expect(JSON.stringify(entries)).toContain('user.signed_in');
  expect(JSON.stringify(entries) + wall.daemon.logged.join('')).not.toContain(handle);
});

it('a person signs in on another device', async () => {
  let opened = false;
  const login = await alterd(['--output', 'json', 'login', '--device'], {
    onStderr: (text) => {
      const url = /https:\/\/\S+user_code=\S+/.exec(text)?.[0];
      if (url === undefined || opened) return;
      opened = true;
      execFile(process.execPath, [BROWSER, url], { env: browserEnv('ben') }, (error, stdout) => {
        if (error !== null) throw new Error(`the browser did not get through: ${stdout}`);
      });
    },
  });
  expect(login).toMatchObject({ code: 0 });
  expect(JSON.parse(login.stdout)).toMatchObject({ status: 'signed_in', user: { email: 'ben@good.test' } });
});

it('a user who is deactivated can not sign in, and is signed out', async () => {
  expect(await alterd(['login'])).toMatchObject({ code: 0 });
  await wall.daemon.api('POST', '/v1/users/anna@good.test/status', { status: 'deactivated' });
  expect(await alterd(['whoami'])).toMatchObject({ code: 3 });
  expect(await alterd(['run', '--user', '--agent', bot.name, '--', 'true'])).toMatchObject({ code: 3 });
  expect(await alterd(['login'])).toMatchObject({ code: 3, stderr: expect.stringContaining('deactivated') });
  await wall.daemon.api('POST', '/v1/users/anna@good.test/status', { status: 'active' });
});

it('a code that comes back with another state is refused, and can not be tried again', async () => {
  const { login_id: id } = await wall.daemon.api<{ login_id: string }>('POST', '/v1/login', {
    redirect_uri: 'http://127.0.0.1:1/callback',
  });
  const finish = (): Promise<unknown> =>
    wall.daemon.api('POST', `/v1/login/${id}`, { callback_url: 'http://127.0.0.1:1/callback?code=stolen&state=made-up' });
  await expect(finish()).rejects.toThrow(/re_auth_required/);
  await expect(finish()).rejects.toThrow(/not_found/);
});

it.each(['https://evil.test/callback', 'http://evil.test/callback', 'http://127.0.0.1.evil.test/callback'])(
  'a code never comes back to %s',
  async (uri) => {
    await expect(wall.daemon.api('POST', '/v1/login', { redirect_uri: uri })).rejects.toThrow(/redirect_uri must be/);
  },
);

it('an issuer on a private address that nobody allowed is not called', async () => {
  const { configFile } = wall.daemon.paths;
  const before = readFileSync(configFile, 'utf8');
  writeFileSync(configFile, before.replace(/^allow_private.*$/m, ''));
  await wall.daemon.running.reload();
  const asked = wall.issuer.asked.length;
  await expect(wall.daemon.api('POST', '/v1/login', {})).rejects.toThrow(/could not be reached/);
  expect(wall.issuer.asked.length).toBe(asked);
  writeFileSync(configFile, before);
  await wall.daemon.running.reload();
});
