/** The daemon as the unit starts it: systemd's directories and credential, its notifications, and its signals. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { PROGRAM } from '../../helpers/program.ts';
import { temporaryDirectory } from '../../helpers/temporary.ts';
import { isPresent, nodeArguments, ROOT, settingsOf } from './unit-file.ts';

const directory = temporaryDirectory();
const LISTENER = join(ROOT, 'test', 'integration', 'systemd', 'notify-listener.py');
const MAIN = [...nodeArguments(), PROGRAM];
const canRun = isPresent('python3') && isPresent('systemd-notify');

/** Everything that a process said, line by line, and who waits for a line. */
class Lines {
  readonly seen: string[] = [];
  readonly #waiting: { readonly pattern: RegExp; readonly resolve: (line: string) => void }[] = [];

  add(line: string): void {
    this.seen.push(line);
    for (const each of this.#waiting.filter(({ pattern }) => pattern.test(line))) {
      this.#waiting.splice(this.#waiting.indexOf(each), 1);
      each.resolve(line);
    }
  }

  until(pattern: RegExp): Promise<string> {
    const there = this.seen.find((line) => pattern.test(line));
    if (there !== undefined) return Promise.resolve(there);
    return new Promise((resolve) => this.#waiting.push({ pattern, resolve }));
  }

  /** The next one, whatever was said before. */
  next(pattern: RegExp): Promise<string> {
    return new Promise((resolve) => this.#waiting.push({ pattern, resolve }));
  }
}

const linesOf = (stream: NodeJS.ReadableStream | null): Lines => {
  const lines = new Lines();
  if (stream !== null) createInterface({ input: stream }).on('line', (line) => lines.add(line));
  return lines;
};

const exitOf = (child: ChildProcess): Promise<number | NodeJS.Signals | null> =>
  new Promise((resolve) => child.once('exit', (code, signal) => resolve(code ?? signal)));

const statusLine = (port: number): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () =>
      socket.write('CONNECT alterd.internal:443 HTTP/1.1\r\nHost: alterd.internal:443\r\n\r\n'),
    );
    socket.once('data', (data) => {
      socket.destroy();
      resolve(data.toString('latin1').split('\r\n')[0] ?? '');
    });
    socket.once('error', reject);
  });

describe('as a service', () => {
  const base = directory();
  const config = join(base, 'etc');
  const state = join(base, 'lib');
  const env: NodeJS.ProcessEnv = {
    PATH: process.env.PATH,
    STATE_DIRECTORY: state,
    CONFIGURATION_DIRECTORY: config,
    CREDENTIALS_DIRECTORY: join(base, 'credentials'),
    NOTIFY_SOCKET: join(base, 'notify'),
  };
  let manager: ChildProcess | undefined;
  let daemon: ChildProcess | undefined;
  let told = new Lines();
  let said = new Lines();
  let complained = new Lines();
  let port = 0;

  beforeAll(async () => {
    if (!canRun) return;
    mkdirSync(state, { mode: 0o700 });
    mkdirSync(config, { mode: 0o750 });
    mkdirSync(join(base, 'credentials'), { mode: 0o700 });
    writeFileSync(join(config, 'alterd.toml'), '[listen]\ntcp = "127.0.0.1:0"\n', { mode: 0o640 });
    writeFileSync(join(base, 'credentials', 'masterkey'), randomBytes(32), { mode: 0o400 });
    manager = spawn('python3', [LISTENER, env.NOTIFY_SOCKET ?? ''], { stdio: ['ignore', 'pipe', 'inherit'] });
    told = linesOf(manager.stdout);
    await told.until(/listening/);
    daemon = spawn(process.execPath, [...MAIN, 'start'], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    said = linesOf(daemon.stdout);
    complained = linesOf(daemon.stderr);
    port = Number(/"proxy_tcp":"127\.0\.0\.1:(\d+)"/.exec(await said.until(/"ready"/))?.[1]);
  });
  afterAll(() => {
    daemon?.kill('SIGKILL');
    manager?.kill('SIGKILL');
  });

  test('tells that it is ready, as the main process, once its proxy answers', async () => {
    if (!canRun) return;
    const message = JSON.parse(await told.until(/READY=1/)) as string;
    expect(message.split('\n')).toContain(`MAINPID=${daemon?.pid}`);
    expect(await statusLine(port)).toMatch(/^HTTP\/1\.1 407 /);
  });

  test('takes its master key from the credential and leaves the configuration directory as it was', () => {
    if (!canRun) return;
    expect(readdirSync(config)).toEqual(['alterd.toml']);
    expect(readdirSync(state)).toContain('vault.db');
  });

  test('has made the files that the unit copies for agents', () => {
    if (!canRun) return;
    const copied = (settingsOf('ExecStartPost')[0] ?? '').split(' ').filter((word) => word.startsWith('%S/alterd/'));
    expect(copied).not.toHaveLength(0);
    for (const file of copied) expect(existsSync(file.replace('%S/alterd', state)), file).toBe(true);
  });

  test('is reached by the command line with the same two directories', () => {
    if (!canRun) return;
    const { status, stdout } = spawnSync(process.execPath, [...MAIN, 'status', '--output', 'json'], {
      env: { PATH: env.PATH, STATE_DIRECTORY: state, CONFIGURATION_DIRECTORY: config },
      encoding: 'utf8',
    });
    expect({ status, pid: (JSON.parse(stdout) as { pid: number }).pid }).toEqual({ status: 0, pid: daemon?.pid });
  });

  test('reloads on SIGHUP, and keeps the old configuration when the new one is wrong', async () => {
    if (!canRun) return;
    const file = join(config, 'alterd.toml');
    const complaint = said.next(/the old one stays in force/);
    writeFileSync(file, '[listen]\ntcp = "everywhere"\n[log]\nlevel = "loud"\n');
    daemon?.kill('SIGHUP');
    expect(await complaint).toMatch(/listen\.tcp.*log\.level/);
    expect(await statusLine(port)).toMatch(/^HTTP\/1\.1 407 /);
    const reloaded = said.next(/configuration reloaded/);
    writeFileSync(file, 'egress = "refuse"\n[listen]\ntcp = "127.0.0.1:0"\n');
    daemon?.kill('SIGHUP');
    expect(await reloaded).toContain('"changed":["egress"]');
  });

  test('S-71: opens no debugger on SIGUSR1', async () => {
    if (!canRun) return;
    daemon?.kill('SIGUSR1');
    // The daemon takes the signal itself: it goes on answering, and Node says nothing of an inspector, failed or not.
    expect(await statusLine(port)).toMatch(/^HTTP\/1\.1 407 /);
    const reloaded = said.next(/configuration reloaded/);
    daemon?.kill('SIGHUP');
    await reloaded; // a signal that was sent later is answered: the one before it has had its effect
    expect(complained.seen.join('\n')).not.toMatch(/inspector|Debugger/);
  });

  test('tells that it stops on SIGTERM, and ends with success', async () => {
    if (!canRun || daemon === undefined) return;
    const exit = exitOf(daemon);
    daemon.kill('SIGTERM');
    expect(await exit).toBe(0);
    expect(await told.until(/STOPPING=1/)).toContain(`MAINPID=${daemon.pid}`);
  });

  test('a credential that is missing later is an error, never a new key', async () => {
    if (!canRun) return;
    const { status, stderr } = spawnSync(process.execPath, [...MAIN, 'start'], {
      env: { PATH: env.PATH, STATE_DIRECTORY: state, CONFIGURATION_DIRECTORY: config },
      encoding: 'utf8',
    });
    expect({ status, stderr }).toEqual({
      status: 1,
      stderr: expect.stringContaining('systemd passed no credential named "masterkey"'),
    });
    expect(readdirSync(config)).toEqual(['alterd.toml']);
  });
});
