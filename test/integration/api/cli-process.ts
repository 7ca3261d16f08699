/** The CLI against the home of a test: as a child process, or in this one where a process proves nothing more. */
import { type ChildProcess, spawn } from 'node:child_process';
import { PassThrough } from 'node:stream';
import { finished } from 'node:stream/promises';
import { runProgram } from '../../../src/cli/program.ts';
import { PROGRAM } from '../../helpers/program.ts';

export interface CliResult {
  /** null when a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CliOptions {
  readonly input?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** None of the variables of whoever runs the tests may steer the CLI under test. */
const cleanEnvironment = (extra: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv => ({
  PATH: process.env.PATH,
  HOME: process.env.HOME,
  ...extra,
});

/** Starts it and answers at once, for commands that go on. */
export function spawnCli(home: string, args: readonly string[], options: CliOptions = {}): ChildProcess {
  return spawn(process.execPath, [PROGRAM, '--home', home, ...args], {
    env: cleanEnvironment(options.env),
    stdio: 'pipe',
  });
}

/** Runs it to its end. Its stdin is a pipe, never a terminal. */
export function runCli(home: string, args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
  return new Promise((resolve, reject) => {
    const child = spawnCli(home, args, options);
    let stdout = '';
    let stderr = '';
    child.stdout?.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, stdout, stderr }));
    child.stdin?.on('error', () => {});
    child.stdin?.end(options.input ?? '');
  });
}

/** The same command line in this process: a start costs half a second. Not for commands that start or read something. */
export async function runInside(home: string, args: readonly string[]): Promise<CliResult> {
  const stdout = new PassThrough();
  const stderr = new PassThrough();
  const said = { stdout: '', stderr: '' };
  stdout.setEncoding('utf8').on('data', (text: string) => (said.stdout += text));
  stderr.setEncoding('utf8').on('data', (text: string) => (said.stderr += text));
  const code = await runProgram({ argv: ['--home', home, ...args], env: cleanEnvironment(), stdout, stderr });
  await Promise.all([finished(stdout.end()), finished(stderr.end())]);
  return { code, ...said };
}

/** Resolves with what a stream said so far, once that matches. */
export function untilSaid(stream: NodeJS.ReadableStream | null, pattern: RegExp): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    stream?.on('data', (part: Buffer | string) => {
      text += part.toString();
      if (pattern.test(text)) resolve(text);
    });
    stream?.once('end', () => reject(new Error(`ended without ${pattern}: ${text}`)));
  });
}

export const ended = (child: ChildProcess): Promise<number | NodeJS.Signals | null> =>
  new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) resolve(child.exitCode ?? child.signalCode);
    else child.once('exit', (code, signal) => resolve(code ?? signal));
  });
