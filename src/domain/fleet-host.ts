/**
 * A host of a fleet: a machine whose daemon borrows grants from a central vault. It is known by two public keys of its own, and gets
 * what is assigned to it and nothing else. Never holds a private key or a token.
 */

/** `invited` has no keys yet · `active` may borrow · `paused` may not for now · `revoked` may never again. */
export type FleetHostStatus = 'invited' | 'active' | 'paused' | 'revoked';

export interface FleetHost {
  /** UUID. */
  readonly id: string;
  /** Slug, unique in the vault. */
  readonly name: string;
  readonly status: FleetHostStatus;
  /** Hex SHA-256 of the last enrolment token; it stays after its use, so that a repeated enrolment is recognised. */
  readonly inviteHash: string | null;
  /** While it is set, the token may still set keys. Epoch milliseconds. */
  readonly inviteExpiresAt: number | null;
  /** Raw Ed25519 public key, base64url; null before the enrolment. */
  readonly signingKey: string | null;
  /** Uncompressed P-256 point, base64url. */
  readonly sealingKey: string | null;
  /** What its daemon is able to enforce, as it said itself. */
  readonly capabilities: readonly string[];
  /** The version of its daemon at its last enrolment. */
  readonly version: string | null;
  /** What it gets: these agents, and what they can use. */
  readonly agentIds: readonly string[];
  /** Its agents may use the grants of the system too. */
  readonly systemGrants: boolean;
  readonly createdAt: number;
  readonly enrolledAt: number | null;
  /** Not part of the authority: written lazily. */
  readonly lastUsedAt: number | null;
}
