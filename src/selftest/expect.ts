/** What a refusal has to look like, and what must have seen nothing of it. */
import type { Answer } from './answer.ts';
import { CheckSkipped, insist } from './check.ts';
import type { Ground } from './ground.ts';

/** A refusal of alterd's own, with one of these statuses. @throws CheckFailure */
export function expectRefusal(answer: Answer, status: number | readonly number[], what: string): void {
  const shown = JSON.stringify(what.length > 70 ? `${what.slice(0, 70)}…` : what);
  const wanted = typeof status === 'number' ? [status] : status;
  insist(wanted.includes(answer.status), `${shown} was answered ${answer.status}, not ${wanted.join(' or ')}`);
  insist(answer.header('alter-error') !== undefined, `${shown} was answered ${answer.status}, but not by alterd`);
}

/** Neither origin nor trap hears anything while `work` runs. @throws CheckFailure */
export async function expectUntouched(ground: Ground, work: () => Promise<unknown>): Promise<undefined> {
  const heard = (): number => ground.origin.arrivals.length + ground.second.arrivals.length + ground.trap.contacts();
  const before = heard();
  await work();
  insist(heard() === before, 'something left although it was refused');
}

/** For whatever needs an answer of the throw-away origin. @throws CheckSkipped */
export function requireOrigin(ground: Ground): void {
  if (ground.setting('upstream.proxy')) throw new CheckSkipped('upstream.proxy is set: an origin on loopback is out of reach');
}

/** For whatever looks into a tunnel to an address. @throws CheckSkipped */
export function requireFreeNames(ground: Ground): void {
  const names = ground.setting('ca.name_constraints');
  if (Array.isArray(names) && names.length > 0)
    throw new CheckSkipped('ca.name_constraints is set: tunnels to addresses are refused');
}

/** A request that the origin answers and hears once. @throws CheckFailure, CheckSkipped */
export async function expectForwarded(ground: Ground, ask: () => Promise<Answer>): Promise<Answer> {
  requireOrigin(ground);
  const before = ground.origin.arrivals.length;
  const got = await ask();
  insist(got.header('alter-error') === undefined, `it was refused: ${got.status} ${got.header('alter-error')}`);
  insist(
    ground.origin.arrivals.length === before + 1,
    `the origin heard ${ground.origin.arrivals.length - before} requests instead of one`,
  );
  return got;
}
