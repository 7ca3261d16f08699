/**
 * The grant that an account which is connected again had already, and what the new consent makes of it. It keeps its id, its label and
 * all that the consent does not speak of. Pure. It must never widen a grant: of methods and paths a consent can only take some away.
 */
import { AlterError } from '../../domain/errors.ts';
import type { GrantRow } from '../../store/rows.ts';
import { expiryProblem, requireNone } from '../names.ts';
import type { ConnectRequest, GrantRestrictions } from './connect-flows.ts';

/**
 * @param live grants of the credential's owner that have not ended
 * With a label: the one that is called so. Without: the one that has none, else the only one, else one that is restricted alike;
 * another beside it would leave the agent's calls between two that say the same.
 */
export function grantToRenew(live: readonly GrantRow[], { label, restrictions = {} }: ConnectRequest): GrantRow | undefined {
  const wanted = label?.trim() ?? '';
  const named = live.find((grant) => grant.label === wanted);
  if (named !== undefined || wanted !== '') return named;
  if (live.length === 1) return live[0];
  return live.find(
    (grant) => isAlike(grant.methods, methodsOf(restrictions)) && isAlike(grant.paths, restrictions.paths ?? undefined),
  );
}

/**
 * The grant as it is from now on; the same object when nothing changes. An end that is not spoken of stays; null is "no end".
 * @throws AlterError conflict when more was consented to than the grant allows, invalid_input
 */
export function renewedGrant(grant: GrantRow, { restrictions = {} }: ConnectRequest, now: number): GrantRow {
  const { expiresAt } = restrictions;
  requireNone([expiryProblem(expiresAt, now)]);
  const renewed: GrantRow = {
    ...grant,
    methods: narrowed(grant, 'methods', grant.methods, methodsOf(restrictions)),
    paths: narrowed(grant, 'paths', grant.paths, restrictions.paths),
    expiresAt: expiresAt === undefined ? grant.expiresAt : expiresAt,
  };
  const isChanged = renewed.methods !== grant.methods || renewed.paths !== grant.paths || renewed.expiresAt !== grant.expiresAt;
  return isChanged ? renewed : grant;
}

const methodsOf = ({ methods }: GrantRestrictions): readonly string[] | undefined =>
  methods?.map((method) => method.toUpperCase());

function narrowed(
  grant: GrantRow,
  what: 'methods' | 'paths',
  have: readonly string[] | null,
  want: readonly string[] | undefined,
): readonly string[] | null {
  if (want === undefined || (have !== null && isAlike(have, want))) return have;
  // SECURITY: a consent brings tokens; whoever follows a link must not get more of them than the grant had.
  if (have !== null && want.some((each) => !have.includes(each)))
    throw new AlterError('conflict', {
      reason: `The account is connected for the grant ${grant.id} already, which allows the ${what} ${have.join(', ')} alone`,
      hint: `Leave ${what} out to keep them, or give the new grant a label of its own.`,
    });
  return [...new Set(want)];
}

const isAlike = (have: readonly string[] | null, want: readonly string[] | undefined): boolean =>
  JSON.stringify([...(have ?? [])].sort()) === JSON.stringify([...new Set(want ?? [])].sort());
