/**
 * The doorway between the data plane and the vault. The proxy knows the vault only as this type; the embedded vault
 * implements it by direct calls.
 */
import type { CallerIdentity } from './agent.ts';
import type { Authority } from './authority.ts';
import type { CredentialMaterial } from './credential.ts';
import type { Delegation } from './delegation.ts';
import type { Grant } from './grant.ts';

export interface VaultPort {
  /** The view in force now. */
  readonly authority: Authority;
  /** Calls `listener` after each replacement; answers the function that stops it. */
  onAuthorityChange(listener: (authority: Authority) => void): () => void;
  /**
   * Who holds this key. Synchronous and constant in the number of keys: it runs for each new proxy socket.
   * @throws AlterError caller_unauthenticated, key_revoked
   */
  identify(key: string): CallerIdentity;
  /** False as soon as the key, its session, its parent key, its user, its agent or the agent above that ended: asked again on each request of an open tunnel. */
  isCallerValid(caller: CallerIdentity): boolean;
  /**
   * The material of a grant's credential: at once when it is in memory, as a promise when it must be opened or fetched.
   * @throws AlterError credential_unavailable, re_auth_required, vault_unavailable
   */
  obtain(grant: Grant): CredentialMaterial | Promise<CredentialMaterial>;
  /** False when the grant was lent to this host, and the time for which it was lent is over. */
  isLeased(grant: Grant): boolean;
  /**
   * The caller gives a delegation back that was made to its own agent.
   * @throws AlterError not_found for one of another agent too; audit_unavailable, vault_unavailable
   */
  dropDelegation(caller: CallerIdentity, delegationId: string): Promise<Delegation>;
  /**
   * After the provider answered 401 to the material of this version: newer material to try once more with, or null. It asks for a new
   * token at most once in a while for each credential, whatever providers and agents do.
   * @throws AlterError as obtain()
   */
  renewRefused(grant: Grant, version: number): Promise<CredentialMaterial | null>;
}
