/**
 * Placeholders by whose they are: of grants that are there, ended or not, and of grants that are gone. Pure, but for what it keeps to be asked
 * again. Must never be asked with more than a word of a place where credentials go.
 */
import type { CallerIdentity } from '../domain/agent.ts';
import type { Authority } from '../domain/authority.ts';
import type { Grant } from '../domain/grant.ts';
import type { PlaceholderMisuse } from '../domain/placeholder-alarm.ts';
import { placeholderHash, type RetiredPlaceholder } from '../domain/retired-placeholder.ts';

/** Whether a word is a placeholder that was minted here. */
export type KnownPlaceholders = Pick<ReadonlySet<string>, 'has'>;

export interface Misuse {
  readonly why: PlaceholderMisuse;
  readonly of: Pick<RetiredPlaceholder, 'grantId' | 'grantLabel' | 'providerId'>;
  /** Null where it is in use elsewhere. */
  readonly retiredAt: number | null;
}

export class PlaceholderIndex {
  /** With those of grants that are gone; the mere set where there are none. */
  readonly known: KnownPlaceholders;
  readonly #grants: readonly Grant[];
  readonly #retired: ReadonlyMap<string, RetiredPlaceholder>;
  readonly #lengths: ReadonlySet<number>;
  /** Made when the first alarm may have to be raised: nothing else asks. */
  #byPlaceholder: ReadonlyMap<string, Grant> | null = null;

  constructor(authority: Pick<Authority, 'grants' | 'retired'>, present: ReadonlySet<string>) {
    const retired = authority.retired ?? [];
    this.#grants = authority.grants;
    this.#retired = new Map(retired.map((each) => [each.hash, each]));
    this.#lengths = new Set(retired.map(({ length }) => length));
    this.known = retired.length === 0 ? present : { has: (word) => present.has(word) || this.#gone(word) !== undefined };
  }

  /**
   * What is wrong with this placeholder in a request of this caller; null when nothing is, and for one that was never minted.
   * @param at when the request began: what ended later was good when it was sent
   */
  misuseOf(placeholder: string, caller: CallerIdentity, at: number): Misuse | null {
    this.#byPlaceholder ??= indexed(this.#grants);
    const grant = this.#byPlaceholder.get(placeholder);
    if (grant === undefined) {
      const gone = this.#gone(placeholder);
      return gone === undefined || gone.retiredAt > at ? null : { why: 'removed', of: gone, retiredAt: gone.retiredAt };
    }
    const of = { grantId: grant.id, grantLabel: grant.label, providerId: grant.providerId };
    if (grant.status === 'revoked') {
      const retiredAt = grant.revokedAt ?? 0;
      return retiredAt > at ? null : { why: 'revoked', of, retiredAt };
    }
    if (grant.expiresAt !== null && grant.expiresAt <= at) return { why: 'expired', of, retiredAt: grant.expiresAt };
    const { principal } = grant;
    // Grants of people and of the system have no one holder: who may use them changes with users and delegations.
    const isForeign = principal.type === 'agent' && principal.agentId !== caller.agentId;
    return isForeign ? { why: 'foreign', of, retiredAt: null } : null;
  }

  /** SECURITY: by hash: what is remembered of it is nothing that could be sent. What has another length costs a look at a number. */
  #gone(word: string): RetiredPlaceholder | undefined {
    return this.#lengths.has(word.length) ? this.#retired.get(placeholderHash(word)) : undefined;
  }
}

function indexed(grants: readonly Grant[]): ReadonlyMap<string, Grant> {
  const byPlaceholder = new Map<string, Grant>();
  for (const grant of grants) if (grant.placeholder !== null) byPlaceholder.set(grant.placeholder, grant);
  return byPlaceholder;
}
