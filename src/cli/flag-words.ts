/**
 * What the API says of the members of a body, said of the flags that the person typed. It changes words alone: never a code, never a hint,
 * which name commands already.
 */
import { AlterError } from '../domain/errors.ts';

/** The flag of a member, by the name of the member. */
export type FlagWords = Readonly<Record<string, string>>;

/** The same answer, or the same refusal in the words of the command line. @throws AlterError whatever `work` throws */
export async function inFlags<T>(words: FlagWords, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (thrown) {
    if (!(thrown instanceof AlterError) || thrown.code !== 'invalid_input') throw thrown;
    const { problems = [] } = thrown.details as { problems?: readonly string[] };
    const options = thrown.hint === undefined ? { cause: thrown } : { cause: thrown, hint: thrown.hint };
    throw new AlterError('invalid_input', { problems: problems.map((problem) => flagText(words, problem)) }, options);
  }
}

/** A member's name is what a sentence begins with, or a word with an underscore anywhere in it. */
export function flagText(words: FlagWords, problem: string): string {
  const flag = (name: string): string => (Object.hasOwn(words, name) ? (words[name] ?? name) : name);
  return problem.replace(/^[a-z]+(?=[ :.])/, flag).replaceAll(/\b[a-z]+(?:_[a-z]+)+\b/g, flag);
}
