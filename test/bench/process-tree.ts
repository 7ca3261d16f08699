/** What /proc says of a process and all its descendants: CPU time and memory. Also where they may run. Linux only. */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

/** USER_HZ is 100 on every architecture that Node runs on. */
const TICK_US = 10_000;
const PAGE_BYTES = 4096;

const statOf = (pid: number | string): string[] | null => {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The name may hold blanks and brackets: the fields begin after its last one.
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return null;
  }
};

/** The process and its descendants, parents first; none when it is gone. */
export function treeOf(pid: number): number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const parent = Number(statOf(name)?.[1] ?? 0);
    const list = children.get(parent);
    if (list === undefined) children.set(parent, [Number(name)]);
    else list.push(Number(name));
  }
  const tree: number[] = [];
  const walk = (one: number): void => {
    tree.push(one);
    for (const child of children.get(one) ?? []) walk(child);
  };
  if (statOf(pid) !== null) walk(pid);
  return tree;
}

/** User and system time of these processes so far, all their threads, in microseconds. */
export function cpuMicros(pids: readonly number[]): number {
  let ticks = 0;
  for (const pid of pids) {
    const stat = statOf(pid);
    if (stat !== null) ticks += Number(stat[11]) + Number(stat[12]);
  }
  return ticks * TICK_US;
}

/** The same to the nanosecond, without threads that have ended. */
export function threadMicros(pids: readonly number[]): number {
  let nanoseconds = 0;
  for (const pid of pids)
    try {
      for (const task of readdirSync(`/proc/${pid}/task`))
        nanoseconds += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'latin1').split(' ')[0]);
    } catch {
      // It has just ended.
    }
  return nanoseconds / 1000;
}

/** Resident memory of these processes together. Pages that they share count once for each. */
export function rssBytes(pids: readonly number[]): number {
  let pages = 0;
  for (const pid of pids) pages += Number(statOf(pid)?.[21] ?? 0);
  return pages * PAGE_BYTES;
}

let pinning: boolean | undefined;

/** The words that pin a command to a CPU; none when there is no taskset or only one CPU. */
export function pinned(cpu: number): string[] {
  pinning ??= spawnSync('taskset', ['-c', '0,1', 'true'], { stdio: 'ignore' }).status === 0;
  return pinning ? ['taskset', '-c', String(cpu)] : [];
}

/** Moves what runs already, and what it will start, to a CPU. */
export function moveTree(pid: number, cpu: number): void {
  if (pinned(cpu).length === 0) return;
  for (const one of treeOf(pid)) spawnSync('taskset', ['-acp', String(cpu), String(one)], { stdio: 'ignore' });
}

export const PROXY_CPU = 0;
export const LOAD_CPU = 1;
