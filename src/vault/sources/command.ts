/**
 * A command whose output is the value. Without a shell, without our environment, bounded in time and in bytes.
 * SECURITY: what it prints is the secret, on stderr perhaps too: neither goes anywhere but to the caller.
 */
import { spawn } from 'node:child_process';
import { homedir } from 'node:os';
import { asText, MAX_VALUE_BYTES } from './private-value.ts';
import { SourceFailure } from './source-failure.ts';

export const COMMAND_WAIT_MS = 10_000;

/** @throws SourceFailure */
export function runForValue(argv: readonly string[], waitMs = COMMAND_WAIT_MS): Promise<string> {
  return new Promise((resolve, reject) => {
    const [file, ...args] = argv as [string, ...string[]];
    const child = spawn(file, args, {
      cwd: '/',
      // SECURITY: the daemon's variables may name keys of its own; a command gets what it needs to find programs and its home.
      env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', HOME: homedir(), LANG: 'C.UTF-8' },
      stdio: ['ignore', 'pipe', 'ignore'],
      // A group of its own, so that what it started ends with it.
      detached: true,
    });
    const parts: Buffer[] = [];
    let bytes = 0;
    let failure: SourceFailure | null = null;
    const end = (code: SourceFailure['code']): void => {
      failure ??= new SourceFailure(code);
      try {
        if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
      } catch {
        // It has ended by itself.
      }
      child.stdout.destroy();
    };
    const timer = setTimeout(() => end('command_timed_out'), waitMs);
    child.stdout.on('data', (part: Buffer) => {
      bytes += part.length;
      if (bytes > MAX_VALUE_BYTES) end('source_too_long');
      else parts.push(part);
    });
    child.once('error', (cause) => {
      clearTimeout(timer);
      reject(new SourceFailure('command_not_started', cause));
    });
    child.once('close', (status) => {
      clearTimeout(timer);
      const output = Buffer.concat(parts);
      try {
        if (failure !== null) throw failure;
        if (status !== 0) throw new SourceFailure('command_failed');
        resolve(asText(output));
      } catch (thrown) {
        reject(thrown as Error);
      } finally {
        output.fill(0);
      }
    });
  });
}
