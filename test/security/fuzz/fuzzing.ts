/**
 * Seeded chance for the fuzzers. A failing run prints its seed; FUZZ_SEED repeats it, FUZZ_SECONDS says how long each target runs
 * (two seconds in the ordinary tests).
 */

import { Dice } from '../../helpers/dice.ts';

export const FUZZ_MS = Number(process.env.FUZZ_SECONDS ?? 2) * 1000;
/** For the tests that fuzz. */
export const TIMEOUT_MS = FUZZ_MS + 60_000;
const SEED = Number(process.env.FUZZ_SEED ?? Math.floor(Math.random() * 2 ** 31));

/** Another one for each target, from the seed of the run. */
export const diceOf = (target: string): Dice =>
  new Dice([...target].reduce((sum, c) => Math.imul(sum ^ c.charCodeAt(0), 16_777_619), SEED));

/** A corpus entry with a few edits: bytes and words put in, taken out, doubled, exchanged, or cut off. */
export function mutate(dice: Dice, corpus: readonly string[], words: readonly string[]): string {
  let text = dice.pick(corpus);
  for (let n = dice.below(5); n >= 0; n--) {
    const at = dice.below(text.length + 1);
    const end = Math.min(text.length, at + dice.below(8));
    const kind = dice.below(7);
    if (kind === 0) text = text.slice(0, at) + String.fromCharCode(dice.below(256)) + text.slice(at);
    else if (kind === 1) text = text.slice(0, at) + dice.pick(words) + text.slice(at);
    else if (kind === 2) text = text.slice(0, at) + text.slice(end);
    else if (kind === 3) text = text.slice(0, end) + text.slice(at, end) + text.slice(end);
    else if (kind === 4) text = text.slice(0, at) + String.fromCharCode(dice.below(256)) + text.slice(at + 1);
    else if (kind === 5) text = text.slice(0, at) + dice.pick(corpus).slice(dice.below(20)) + text.slice(end);
    else if (dice.below(4) === 0) text = text.slice(0, at);
  }
  return text;
}

/** Runs `one` again and again until the time is over; a failure says how to repeat it. */
export async function forAWhile(name: string, one: (dice: Dice) => void | Promise<void>): Promise<number> {
  const dice = diceOf(name);
  const end = Date.now() + FUZZ_MS;
  let runs = 0;
  for (; Date.now() < end; runs++) {
    try {
      await one(dice);
    } catch (error) {
      throw new Error(`${name}, run ${runs}, FUZZ_SEED=${SEED}: ${(error as Error).message}`, { cause: error });
    }
  }
  return runs;
}
