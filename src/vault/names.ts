/** Slugs: the names of agents and secrets. */
import { AlterError } from '../domain/errors.ts';

const SLUG = /^[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?$/;

/** What is wrong with a name; undefined when nothing is. */
export const slugProblem = (what: string, name: unknown): string | undefined =>
  typeof name === 'string' && SLUG.test(name)
    ? undefined
    : `${what}: use 1 to 63 lower-case letters, digits, "-" and "_", beginning and ending with a letter or digit`;

/** @throws AlterError invalid_input */
export function requireNone(problems: readonly (string | undefined)[]): void {
  const found = [...new Set(problems.filter((problem) => problem !== undefined))];
  if (found.length > 0) throw new AlterError('invalid_input', { problems: found });
}

/** Both ways on: a new value for the one that is there, or a second one beside it. */
export function secretNameIsTaken(taken: {
  readonly name: string;
  readonly providerId: string;
  readonly isAccount: boolean;
}): AlterError {
  const { name, providerId, isAccount } = taken;
  const instead = isAccount
    ? `It is a connected account: \`alterd secret show ${name}\`.`
    : `Give it a new value: \`alterd secret rotate ${name}\`.`;
  return new AlterError('conflict', {
    reason: `There is a secret "${name}" already`,
    hint: `${instead} Or keep a second one beside it: \`alterd secret add ${providerId} --name OTHER\`.`,
  });
}

/** What is wrong with an end time; undefined when nothing is. */
export function expiryProblem(expiresAt: unknown, now: number): string | undefined {
  if (expiresAt === null || expiresAt === undefined) return undefined;
  if (!Number.isSafeInteger(expiresAt)) return 'expires_at: must be a time in whole milliseconds';
  return (expiresAt as number) > now ? undefined : 'expires_at: must be in the future';
}
