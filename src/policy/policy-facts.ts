/**
 * What policies are decided by, as plain values. A fact that is null is not known, and a rule that needs it denies (S-91).
 */
import type { CallerIdentity } from '../domain/agent.ts';
import type { Destination } from '../domain/destination.ts';
import type { Grant } from '../domain/grant.ts';
import type { RequestTarget } from './path.ts';
import type { BodyFacts } from './policy-body.ts';

/** For whom the agent acts. `none`: it is certain that it acts for no user. */
export type PrincipalFacts =
  | { readonly kind: 'none' }
  | { readonly kind: 'user'; readonly user: string; readonly issuer?: string | null; readonly groups: readonly string[] | null };

export interface SourceFacts {
  /** `IP:PORT`, or `unix`. */
  readonly address: string;
  readonly uid: number | null;
  readonly executable: string | null;
  readonly unit?: string | null;
}

export interface PolicyFacts {
  readonly method: string;
  /** Flat name/value list, as the client sent it. */
  readonly headers: readonly string[];
  readonly target: RequestTarget;
  readonly caller: CallerIdentity;
  readonly destination: Destination;
  readonly grant: Grant;
  readonly source: SourceFacts;
  /** null: not known. */
  readonly principal: PrincipalFacts | null;
  /** null: not read yet. A decision then says whether it needs it. */
  readonly body: BodyFacts | null;
  readonly now: number;
}
