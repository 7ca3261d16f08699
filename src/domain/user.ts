/**
 * Users: the people for whom agents call. A user is an issuer and a subject; e-mail and name are labels that an issuer may give to
 * somebody else tomorrow, and must never be what a user is found by.
 */

export type UserStatus = 'active' | 'deactivated';

export interface User {
  /** UUID. */
  readonly id: string;
  /** URL of the OIDC issuer, exactly as its tokens say. */
  readonly issuer: string;
  /** The issuer's name for the user: unique there, never given to another. */
  readonly subject: string;
  readonly email: string | null;
  readonly name: string | null;
  /** As the newest token said; a group is one of the issuer's, so the same name elsewhere is another group. */
  readonly groups: readonly string[];
  /** When the token was issued that said so: an older one changes nothing. Epoch milliseconds. */
  readonly claimsAt: number;
  readonly status: UserStatus;
  readonly createdAt: number;
  readonly lastUsedAt: number | null;
}

/** What a verified token says. */
export interface UserClaims {
  readonly issuer: string;
  readonly subject: string;
  readonly email: string | null;
  readonly name: string | null;
  readonly groups: readonly string[];
  /** Epoch milliseconds. */
  readonly issuedAt: number;
  readonly expiresAt: number;
}

/** How people are shown: the e-mail, or what else there is. */
export const userLabel = (user: Pick<User, 'email' | 'subject'>): string => user.email ?? user.subject;

export const isMember = (user: User, group: { readonly issuer: string; readonly group: string }): boolean =>
  user.issuer === group.issuer && user.groups.includes(group.group);
