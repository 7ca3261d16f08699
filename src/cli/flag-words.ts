/**
 * What the API says of the members of a body, said of the flags that the person typed. It changes words alone: never a code, never a hint,
 * which name commands already.
 */
import { AlterError } from '../domain/errors.ts';

/** The flag of a member, by the name of the member. */
export type FlagWords = Readonly<Record<string, string>>;

/**
 * The same answer, or the same refusal in the words of the command line.
 * @param next what to look at, in place of a hint that says only to correct it
 * @throws AlterError whatever `work` throws
 */
export async function inFlags<T>(words: FlagWords, work: Promise<T>, next?: string): Promise<T> {
  try {
    return await work;
  } catch (thrown) {
    if (!(thrown instanceof AlterError) || thrown.code !== 'invalid_input') throw thrown;
    const { problems = [] } = thrown.details as { problems?: readonly string[] };
    const hint = next ?? thrown.hint;
    const options = hint === undefined ? { cause: thrown } : { cause: thrown, hint };
    throw new AlterError('invalid_input', { problems: problems.map((problem) => flagText(words, problem)) }, options);
  }
}

/** A member's name is what a sentence begins with, or a word with an underscore anywhere in it. */
export function flagText(words: FlagWords, problem: string): string {
  const flag = (name: string): string => (Object.hasOwn(words, name) ? (words[name] ?? name) : name);
  const said = problem.replace(/^fields\.(?=[a-z])/, 'the field ');
  return said.replace(/^[a-z]+(?=[ :.])/, flag).replaceAll(/\b[a-z]+(?:_[a-z]+)+\b/g, flag);
}
