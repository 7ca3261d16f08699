/**
 * "Did you mean": the names that are nearest to one that is not there. Asked only after a command has failed, of the daemon that refused it;
 * it must never make a failure of its own, and never guess for the person.
 */
import { apiPath } from '../api/client.ts';
import { AlterError } from '../domain/errors.ts';
import type { Cli } from './cli.ts';

/** At most three, the nearest first; none that is not similar. */
export function nearestOf(word: string, names: readonly string[]): string[] {
  const wanted = word.toLowerCase();
  const reach = Math.min(3, Math.floor(wanted.length / 3));
  const near = [...new Set(names)]
    .filter((name) => name !== word && Math.abs(name.length - wanted.length) <= reach)
    .map((name) => ({ name, distance: distanceOf(wanted, name.toLowerCase()) }))
    .filter(({ distance }) => distance <= reach)
    .sort((a, b) => a.distance - b.distance || (a.name < b.name ? -1 : 1));
  return near
    .filter(({ distance }) => distance === near[0]?.distance)
    .slice(0, 3)
    .map(({ name }) => name);
}

/** How many letters have to be put in, taken out, replaced or swapped with their neighbour. */
function distanceOf(a: string, b: string): number {
  let twoBack: number[] = [];
  let back = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1;
      let best = Math.min((row[j - 1] ?? 0) + 1, (back[j] ?? 0) + 1, (back[j - 1] ?? 0) + same);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) best = Math.min(best, (twoBack[j - 2] ?? 0) + 1);
      row.push(best);
    }
    twoBack = back;
    back = row;
  }
  return back[b.length] ?? 0;
}

/** Which lists hold the names of what was not found, and what a name is called there. */
const LISTS: Readonly<Record<string, readonly (readonly [list: string, member: string])[]>> = {
  agent: [['agents', 'name']],
  secret: [['secrets', 'name']],
  grant: [['grants', 'label']],
  'secret or grant': [
    ['secrets', 'name'],
    ['grants', 'label'],
  ],
  'secret of provider': [
    ['secrets', 'name'],
    ['providers', 'slug'],
  ],
  provider: [['providers', 'slug']],
  policy: [['policies', 'name']],
  host: [['hosts', 'name']],
  user: [['users', 'email']],
};

/** What the person may have meant; null when nothing is near, or there was no name. */
export async function suggestionFor(error: AlterError, cli: Cli): Promise<string | null> {
  const { what, name } = error.details as { what?: string; name?: string };
  if (error.code !== 'not_found' || what === undefined || name === undefined || !Object.hasOwn(LISTS, what)) return null;
  try {
    const names = (await Promise.all((LISTS[what] ?? []).map(([list, member]) => namesIn(cli, list, member)))).flat();
    // It is there, and what is missing is something else.
    return names.includes(name) ? null : meant(nearestOf(name, names));
  } catch (thrown) {
    // It was to help; the failure that is told is the first one.
    if (thrown instanceof AlterError) return null;
    throw thrown;
  }
}

export const meant = (near: readonly string[]): string | null =>
  near.length === 0 ? null : `Did you mean ${near.join(' or ')}?`;

export async function namesIn(cli: Cli, list: string, member: string): Promise<string[]> {
  const answer = await cli.client().read<Record<string, readonly Record<string, unknown>[]>>(apiPath(list));
  return (answer[list] ?? []).flatMap((each) => {
    const name = each[member];
    return typeof name === 'string' && name !== '' ? [name] : [];
  });
}
