/**
 * The doorway through which the proxy learns for whom a request is made. Whoever implements it verifies tokens; the proxy only hands
 * them over, and must never keep, log or forward one.
 */

/** A user that a token proved. Whether the user may do anything is asked of the authority, at each request. */
export interface ProvenUser {
  readonly userId: string;
  /** When the proof ends. Epoch milliseconds. */
  readonly expiresAt: number;
}

export interface UserPort {
  /**
   * At once for a token that was verified before; else after its signature, issuer, audience and times were checked.
   * @throws AlterError re_auth_required, audit_unavailable, vault_unavailable
   */
  identifyUser(token: string): ProvenUser | Promise<ProvenUser>;
}

/** For an installation without issuers: every token is refused. */
export const NO_ISSUERS = 'no issuer of users is configured here';
