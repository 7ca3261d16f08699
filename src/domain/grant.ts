/**
 * Grants, the unit of everything: a record that lets a principal call certain destinations with a credential.
 */
import type { KeptBodies } from './audit-body.ts';
import type { Injection } from './credential.ts';
import type { OperationRule } from './operation-rule.ts';

/** Who owns a grant. The kinds are never interchangeable: an agent's grant is not its user's. */
export type Principal =
  | { readonly type: 'agent'; readonly agentId: string }
  /** An agent uses it only by a delegation of this user, and only for this user. */
  | { readonly type: 'user'; readonly userId: string }
  /** An agent uses it only by a delegation, and only for a user who is in the group now. The group is its issuer's. */
  | { readonly type: 'group'; readonly issuer: string; readonly group: string }
  /** Every active agent of the installation may use it. */
  | { readonly type: 'system' };

export type GrantStatus = 'active' | 'revoked';

/** What happens when the client sent a value of its own in the place that alterd fills. */
export type OverrideMode =
  /** Replace whatever the client sent (default). */
  | 'always'
  /** Leave the client's own value alone; inject only when there is none. */
  | 'if_absent'
  /** Inject only where the client sent the grant's placeholder; leave any other value alone. */
  | 'placeholder_only';

/** What of a git repository over HTTPS: clone and fetch, or push as well. */
export type GitAccess = 'read' | 'write';

/** Where a grant may be used. */
export interface GrantDestination {
  /** Exact canonical name or address, or `*.` and a name for exactly one more label. */
  readonly pattern: string;
  readonly port: number;
  readonly scheme: 'http' | 'https';
}

/** Invariants: an empty `destinations` means nowhere; null `methods` or `paths` means no such restriction. */
export interface Grant {
  /** UUID. */
  readonly id: string;
  /** Free label, unique among the active grants of a principal and provider; '' when none was given. */
  readonly label: string;
  readonly principal: Principal;
  readonly grantKind: 'managed_secret' | 'oauth';
  readonly providerId: string;
  readonly credentialId: string;
  /** Slug of the credential, for people. */
  readonly credentialName: string;
  readonly destinations: readonly GrantDestination[];
  /** Upper-case. */
  readonly methods: readonly string[] | null;
  /** Globs on segment boundaries, see policy/path.ts. */
  readonly paths: readonly string[] | null;
  /** For git alone, and this much of it; null for no such restriction. */
  readonly git: GitAccess | null;
  /** Paths that never get the credential, from the provider (its OAuth endpoints). Such a request is refused. */
  readonly excludedPaths: readonly string[];
  /** Operations of one-endpoint APIs; empty: no such restriction. */
  readonly operations: readonly OperationRule[];
  /** Upper-case methods whose requests a person has to approve, `*` for all; null: none. */
  readonly approval: readonly string[] | null;
  readonly overrideMode: OverrideMode;
  /** What the agent may hold in place of the secret; null when the grant has none. */
  readonly placeholder: string | null;
  readonly injections: readonly Injection[];
  /** The dialled address may be private or loopback. Cloud metadata addresses stay refused. */
  readonly allowPrivate: boolean;
  /** The credential may go out over plain http. */
  readonly allowPlaintext: boolean;
  /** The agent gets the cookies and the other credentials of its own that the provider answers with; else they are left out. */
  readonly passResponseCookies: boolean;
  /** A host that borrows it from a central vault asks for the material each time, and keeps nothing of it on disk. */
  readonly noCache: boolean;
  /** How long such a host may go on with it after its lease ended, while the vault can't be reached; 0: not at all. */
  readonly offlineGraceMs: number;
  /** Which bodies are kept beside the audit rows. */
  readonly auditBodies: KeptBodies;
  /** How much of each of them. */
  readonly auditBodyBytes: number;
  readonly status: GrantStatus;
  /** Epoch milliseconds; null for no end. */
  readonly expiresAt: number | null;
  readonly createdAt: number;
  readonly revokedAt: number | null;
}
