/** Says which clients the other end-to-end tests could not run because they are not installed here. */
import { expect, it } from 'vitest';
import { CLIENT_NAMES, findClient } from '../helpers/clients.ts';

it('names every client that is not here, and has the ones that come with the project or its needs', () => {
  const absent = CLIENT_NAMES.filter((name) => findClient(name) === null);
  const list = absent.length === 0 ? 'none' : absent.join(', ');
  process.stdout.write(`not present here: ${list} (${absent.length} of ${CLIENT_NAMES.length} clients)\n`);
  for (const needed of ['curl', 'git', 'node'] as const) expect(absent).not.toContain(needed);
}, 60_000);
