/**
 * Sign-ins of people on this machine: the command line holds a handle, the daemon its hash. They live in memory and die with the daemon.
 * A handle says who somebody is; it is no key, and opens nothing at the proxy.
 */
import { createHash, randomBytes } from 'node:crypto';
import { AlterError } from '../domain/errors.ts';
import { Secret } from '../domain/secret.ts';

export interface UserSession {
  readonly userId: string;
  /** Name of the issuer in the configuration. */
  readonly issuerName: string;
  readonly createdAt: number;
  readonly expiresAt: number;
}

const TTL_MS = 12 * 3_600_000;
const SHAPE = /^alter_user_[A-Za-z0-9_-]{43}$/;
const hashOf = (handle: string): string => createHash('sha256').update(handle).digest('hex');

export class UserSessions {
  readonly #byHash = new Map<string, UserSession>();
  readonly #isActive: (userId: string) => boolean;
  readonly #now: () => number;

  constructor(isActive: (userId: string) => boolean, now: () => number = Date.now) {
    this.#isActive = isActive;
    this.#now = now;
  }

  open(userId: string, issuerName: string): { readonly handle: Secret; readonly session: UserSession } {
    const now = this.#now();
    for (const [id, { expiresAt }] of this.#byHash) if (expiresAt <= now) this.#byHash.delete(id);
    const handle = new Secret(`alter_user_${randomBytes(32).toString('base64url')}`);
    const session: UserSession = { userId, issuerName, createdAt: now, expiresAt: now + TTL_MS };
    this.#byHash.set(hashOf(handle.reveal()), session);
    return { handle, session };
  }

  /** @throws AlterError re_auth_required */
  find(handle: string): UserSession {
    const session = SHAPE.test(handle) ? this.#byHash.get(hashOf(handle)) : undefined;
    if (session === undefined || session.expiresAt <= this.#now())
      throw new AlterError('re_auth_required', { reason: 'nobody is signed in, or the sign-in has ended' }, HINT);
    if (!this.#isActive(session.userId))
      throw new AlterError('re_auth_required', { reason: 'the user is not active here' }, HINT);
    return session;
  }

  /** True when there was one. */
  close(handle: string): boolean {
    return this.#byHash.delete(hashOf(handle));
  }
}

const HINT = { hint: 'Sign in: `alterd login`.' };
