/** From the claims of a verified token to what is kept of a user. Pure. A claim of an unexpected shape is left out, never guessed at. */
import type { IssuerConfig } from '../config/issuer-reader.ts';
import { AlterError } from '../domain/errors.ts';
import type { UserClaims } from '../domain/user.ts';

type Payload = Readonly<Record<string, unknown>>;

const MAX_TEXT = 512;
const MAX_GROUPS = 1_000;

/** @throws AlterError re_auth_required when the token names nobody */
export function claimsOf(payload: Payload, { issuer, claims }: IssuerConfig, now: number): UserClaims {
  const subject = textOf(claimAt(payload, claims.subject));
  if (subject === null) throw new AlterError('re_auth_required', { reason: `the token has no claim "${claims.subject}"` });
  return {
    issuer,
    subject,
    email: textOf(claimAt(payload, claims.email)),
    name: textOf(claimAt(payload, claims.name)),
    groups: groupsOf(claimAt(payload, claims.groups)),
    // Without `iat` it counts as old as can be: then it never puts anybody back into a group.
    issuedAt: Math.min(instantOf(payload.iat) ?? 0, now),
    expiresAt: instantOf(payload.exp) ?? 0,
  };
}

/** The claim of exactly this name (`https://corp.example/groups`), else the way that its dots describe. */
function claimAt(payload: Payload, path: string): unknown {
  if (Object.hasOwn(payload, path)) return payload[path];
  let value: unknown = payload;
  for (const part of path.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) return undefined;
    value = (value as Record<string, unknown>)[part];
  }
  return value;
}

const textOf = (value: unknown): string | null =>
  typeof value === 'string' && value !== '' && value.length <= MAX_TEXT && !/[\x00-\x1f\x7f]/.test(value) ? value : null;

function groupsOf(value: unknown): string[] {
  const list: unknown[] = Array.isArray(value) ? value : typeof value === 'string' ? [value] : [];
  return [...new Set(list.map(textOf).filter((group) => group !== null))].slice(0, MAX_GROUPS).sort();
}

const instantOf = (value: unknown): number | null =>
  typeof value === 'number' && Number.isFinite(value) && value >= 0 ? Math.floor(value * 1000) : null;
