/**
 * The users' doorway of the data plane: from the text of a token to a user. A token that was verified once is known by its hash until
 * it expires, so that the next thousand requests pay a hash and no signature. Must never keep the token itself.
 */
import { hash } from 'node:crypto';
import type { IssuerConfig } from '../config/issuer-reader.ts';
import { AlterError } from '../domain/errors.ts';
import type { User, UserClaims } from '../domain/user.ts';
import { NO_ISSUERS, type ProvenUser, type UserPort } from '../domain/user-port.ts';
import type { TokenVerifier } from './token-verifier.ts';

/** Whoever keeps users: makes one of claims that were verified. */
export interface UserDirectory {
  admit(claims: UserClaims): User | Promise<User>;
}

export interface UserTokensOptions {
  readonly verifier: TokenVerifier;
  readonly users: UserDirectory;
  readonly issuers: () => readonly IssuerConfig[];
  readonly now?: (() => number) | undefined;
}

/** Tokens are the callers' choice: the memo is emptied rather than let it grow. */
const MEMO_LIMIT = 10_000;

export class UserTokens implements UserPort {
  readonly #options: UserTokensOptions;
  readonly #now: () => number;
  readonly #known = new Map<string, ProvenUser>();
  /** Being verified: the burst with which a server starts costs one signature for each token. */
  readonly #pending = new Map<string, Promise<ProvenUser>>();
  #generation = 0;

  constructor(options: UserTokensOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  identifyUser(token: string): ProvenUser | Promise<ProvenUser> {
    const id = hash('sha256', token, 'base64');
    const known = this.#known.get(id);
    if (known !== undefined) {
      if (known.expiresAt > this.#now()) return known;
      this.#known.delete(id);
    }
    let pending = this.#pending.get(id);
    if (pending === undefined) {
      pending = this.#verify(id, token).finally(() => this.#pending.delete(id));
      this.#pending.set(id, pending);
    }
    return pending;
  }

  /** SECURITY: called when the issuers change, or the tokens of one that was taken out would be good until they expire. */
  clear(): void {
    this.#generation++;
    this.#known.clear();
    this.#pending.clear();
    this.#options.verifier.clear();
  }

  async #verify(id: string, token: string): Promise<ProvenUser> {
    const issuers = this.#options.issuers();
    if (issuers.length === 0) throw new AlterError('re_auth_required', { reason: NO_ISSUERS });
    const generation = this.#generation;
    const claims = await this.#options.verifier.verify(token, issuers);
    const user = await this.#options.users.admit(claims);
    const proven: ProvenUser = { userId: user.id, expiresAt: claims.expiresAt };
    if (generation !== this.#generation) return proven;
    if (this.#known.size >= MEMO_LIMIT) this.#known.clear();
    this.#known.set(id, proven);
    return proven;
  }
}
