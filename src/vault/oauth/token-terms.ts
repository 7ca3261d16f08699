/** When an access token is renewed, and when it is no longer used. Pure but for the jitter. */
import type { CredentialRow } from '../../store/rows.ts';

const LONGEST_LEAD_MS = 5 * 60_000;
const LONGEST_MARGIN_MS = 10_000;
/** Of a token's life: how early it is renewed, how much that varies, and how early it is given up. */
const LEAD_SHARE = 0.2;
const JITTER_SHARE = 0.1;
const MARGIN_SHARE = 0.02;

export interface TokenTerms {
  readonly dueAt: number;
  readonly endsAt: number;
}

const NEVER: TokenTerms = { dueAt: Number.POSITIVE_INFINITY, endsAt: Number.POSITIVE_INFINITY };

/** @param mayRenew false: there is no refresh token, so the one that is there serves to its end */
export function termsOf({ oauth, rotatedAt, createdAt }: CredentialRow, mayRenew: boolean): TokenTerms {
  if (oauth === undefined || oauth.expiresAt === null) return NEVER;
  const lifeMs = Math.max(0, oauth.expiresAt - (rotatedAt ?? createdAt));
  const endsAt = oauth.expiresAt - Math.min(LONGEST_MARGIN_MS, lifeMs * MARGIN_SHARE);
  if (!mayRenew) return { dueAt: endsAt, endsAt };
  // The jitter keeps tokens that were made together from being renewed together.
  const jitterMs = Math.random() * Math.min(LONGEST_LEAD_MS, lifeMs * JITTER_SHARE);
  return { dueAt: oauth.expiresAt - Math.min(LONGEST_LEAD_MS, lifeMs * LEAD_SHARE) - jitterMs, endsAt };
}
