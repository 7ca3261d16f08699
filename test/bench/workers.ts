/** The two processes beside the target, the origin and the load generator, on the CPU that the target does not have. */
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Job, JobResult } from './load/job.ts';
import { LOAD_CPU, pinned } from './process-tree.ts';

const JOB_SLACK_MS = 30_000;

function startWorker(file: string, args: readonly string[]): ChildProcess {
  const program = fileURLToPath(new URL(file, import.meta.url));
  const [command = '', ...rest] = [...pinned(LOAD_CPU), process.execPath, '--import', 'tsx', program, ...args];
  return spawn(command, rest, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
}

const messageOf = <T>(child: ChildProcess, waitMs: number): Promise<T> =>
  new Promise((resolve, reject) => {
    const clear = (): void => {
      clearTimeout(timer);
      child.off('message', taken).off('exit', ended);
    };
    const taken = (message: unknown): void => {
      clear();
      resolve(message as T);
    };
    const ended = (): void => {
      clear();
      reject(new Error('a process of the benchmark ended'));
    };
    const timer = setTimeout(() => {
      clear();
      reject(new Error('no answer in time'));
    }, waitMs);
    child.once('message', taken).once('exit', ended);
  });

export interface Workers {
  readonly originPort: number;
  readonly originPid: number;
  /** Runs one job. Rejects when it could not be run at all. */
  run(job: Job): Promise<JobResult>;
  stop(): void;
}

/** @param dir that has the origin's certificate */
export async function startWorkers(dir: string): Promise<Workers> {
  const origin = startWorker('./origin.ts', [dir]);
  let load = startWorker('./load.ts', []);
  const originPort = await messageOf<number>(origin, JOB_SLACK_MS);
  return {
    originPort,
    originPid: origin.pid as number,
    run: async (job) => {
      load.send(job);
      try {
        const answer = await messageOf<{ result: JobResult } | { failed: string }>(
          load,
          job.warmMs + job.seconds * 1000 + JOB_SLACK_MS,
        );
        if ('result' in answer) return answer.result;
        throw new Error(answer.failed);
      } catch (error) {
        // Whatever that job left open must not weigh on the next.
        load.kill('SIGKILL');
        load = startWorker('./load.ts', []);
        throw error;
      }
    },
    stop: () => {
      origin.kill('SIGKILL');
      load.kill('SIGKILL');
    },
  };
}
