/**
 * Core dumps of the daemon hold every secret that it has in memory. Node can't set its own limits, so prlimit of util-linux does it from
 * outside, while the daemon goes on. It must never hold up a start, nor stop one: where it can't be done, the log and doctor say so.
 */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** Soft and hard limit in bytes; undefined where the system does not say (no Linux, or another user's process under `hidepid`). */
export function coreDumpLimit(pid: number | 'self'): { readonly soft: number; readonly hard: number } | undefined {
  try {
    const line = /^Max core file size +(\S+) +(\S+)/m.exec(readFileSync(`/proc/${pid}/limits`, 'utf8'));
    if (line === null) return undefined;
    const [soft, hard] = line.slice(1, 3).map((text) => (text === 'unlimited' ? Number.POSITIVE_INFINITY : Number(text)));
    return { soft: soft as number, hard: hard as number };
  } catch {
    return undefined;
  }
}

/**
 * Sets both limits of this process to 0; answers null, or why that did not work.
 * SECURITY: the hard limit too, or whatever runs in this process could raise it again (S-71).
 */
export function forbidCoreDumps(): Promise<string | null> {
  if (coreDumpLimit('self')?.hard === 0) return Promise.resolve(null);
  return new Promise((resolve) => {
    const child = execFile('prlimit', [`--pid=${process.pid}`, '--core=0:0'], { timeout: 5_000 }, (error) => {
      if (error === null) resolve(null);
      else if ((error as NodeJS.ErrnoException).code === 'ENOENT') resolve('prlimit (util-linux) is not installed');
      else resolve('prlimit could not change the limit');
    });
    child.unref();
  });
}
