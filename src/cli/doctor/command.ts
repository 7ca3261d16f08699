/** Runs one program to its end, with a limit, and keeps what it said. */
import { spawn } from 'node:child_process';

export interface Ended {
  /** null when it was not there, or had to be killed. */
  readonly code: number | null;
  readonly isMissing: boolean;
  readonly isLate: boolean;
  readonly stdout: string;
  readonly stderr: string;
}

const MAX_CHARS = 65_536;

/** Never rejects: not being there is an answer. */
export function runToEnd(
  file: string,
  args: readonly string[],
  options: { env: NodeJS.ProcessEnv; timeoutMs: number; cwd?: string },
): Promise<Ended> {
  return new Promise((resolve) => {
    let stdout = '';
    let stderr = '';
    let isLate = false;
    const child = spawn(file, args, { env: options.env, cwd: options.cwd, stdio: ['ignore', 'pipe', 'pipe'] });
    const timer = setTimeout(() => {
      isLate = true;
      child.kill('SIGKILL');
    }, options.timeoutMs);
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout = (stdout + text).slice(0, MAX_CHARS)));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr = (stderr + text).slice(0, MAX_CHARS)));
    child.once('error', (error: NodeJS.ErrnoException) => {
      clearTimeout(timer);
      resolve({ code: null, isMissing: error.code === 'ENOENT', isLate, stdout, stderr: stderr || error.message });
    });
    child.once('close', (code) => {
      clearTimeout(timer);
      resolve({ code, isMissing: false, isLate, stdout, stderr });
    });
  });
}
