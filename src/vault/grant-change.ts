/**
 * What may be changed of a grant while it lives, and what an audit row says of it. Pure. What a grant covers (hosts, methods, paths,
 * operations, git) is no part of it: the grant that an audit row names must stay the one that was in force, and an agent's grants must not
 * grow under it.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Grant } from '../domain/grant.ts';
import type { GrantRow } from '../store/rows.ts';
import { approvalProblems, bodyProblems, labelProblem, leaseProblems, overrideProblem, upperCased } from './grant-input.ts';
import { widenForPlaintext } from './grant-scope.ts';
import { expiryProblem } from './names.ts';
import type { SigningPins } from './signing-pins.ts';

/** Absent parts stay as they are; no approval and no end are null. */
export type GrantChange = Partial<
  Pick<
    Grant,
    | 'label'
    | 'approval'
    | 'overrideMode'
    | 'allowPrivate'
    | 'allowPlaintext'
    | 'passResponseCookies'
    | 'noCache'
    | 'offlineGraceMs'
    | 'auditBodies'
    | 'auditBodyBytes'
    | 'expiresAt'
  >
> &
  SigningPins;

/** The grant with the change in it, without what it signs for; meaningful only when there is no problem. */
export function changedGrant(
  before: GrantRow,
  { awsRegion, awsService, ...asked }: GrantChange,
  now: number,
): { readonly row: GrantRow; readonly problems: readonly (string | undefined)[] } {
  const given = Object.fromEntries(Object.entries(asked).filter(([, value]) => value !== undefined)) as Partial<Grant>;
  const row: GrantRow = {
    ...before,
    ...given,
    ...(given.label === undefined ? {} : { label: given.label.trim() }),
    ...(given.approval ? { approval: upperCased(given.approval) } : {}),
    ...(given.allowPlaintext === undefined || given.allowPlaintext === before.allowPlaintext
      ? {}
      : { destinations: widenForPlaintext(before.destinations, given.allowPlaintext) }),
  };
  const problems = [
    labelProblem(row.label),
    overrideProblem(row.overrideMode),
    ...(given.approval === undefined ? [] : approvalProblems(given.approval)),
    ...(given.expiresAt === undefined ? [] : endProblems(before, given.expiresAt, now)),
    row.destinations.length === 0 ? 'allow_plaintext: all hosts of the grant are http, so none would be left' : undefined,
    ...leaseProblems(row),
    ...bodyProblems(row),
  ];
  return { row, problems };
}

/** SECURITY: whoever connected an account agreed to an end; an operator may bring it nearer, and only a new consent moves it away. */
function endProblems(before: GrantRow, expiresAt: number | null, now: number): (string | undefined)[] {
  const isLater = before.expiresAt !== null && (expiresAt === null || expiresAt > before.expiresAt);
  return [
    expiryProblem(expiresAt, now),
    before.grantKind === 'oauth' && isLater
      ? 'expires_at: the account was connected until then; only connecting it again gives it longer'
      : undefined,
  ];
}

type Details = Record<string, string | number | boolean | null>;

/** What is said of a change besides what is said of each: the members that have another value now. */
export function changeDetails(before: GrantRow, after: GrantRow): Details {
  const said: Details = {};
  const put = (name: string, member: keyof GrantRow, value: Details[string]): void => {
    if (!isDeepStrictEqual(before[member], after[member])) said[name] = value;
  };
  put('label', 'label', after.label);
  put('approval', 'approval', after.approval?.join(' ') ?? null);
  put('override', 'overrideMode', after.overrideMode);
  put('allow_private', 'allowPrivate', after.allowPrivate);
  put('allow_plaintext', 'allowPlaintext', after.allowPlaintext);
  put('pass_response_cookies', 'passResponseCookies', after.passResponseCookies);
  put('expires_at', 'expiresAt', after.expiresAt);
  return said;
}
