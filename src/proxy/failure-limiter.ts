/**
 * Counts wrong keys, and only those: a good key is checked first and never waits, whatever others at the same address do. Loopback
 * is counted like any other address. Must never be asked before the key was found wrong, or guessing would lock out good callers.
 */
import { AlterError } from '../domain/errors.ts';
import type { Peer } from './peer.ts';

const WINDOW_MS = 60_000;
const MAX_FAILURES = 30;
/** Peers are few on loopback; many at once means that somebody makes them up. */
const MAX_PEERS = 10_000;

interface Count {
  failures: number;
  endsAt: number;
}

/** What a wrong key is counted under: the user where the kernel says, else the address without its port, which each socket changes. */
function peerKey(peer: Peer): string {
  if (peer.uid !== null) return `uid ${peer.uid}`;
  const colon = peer.address.lastIndexOf(':');
  return colon === -1 ? peer.address : peer.address.slice(0, colon);
}

export class FailureLimiter {
  readonly #counts = new Map<string, Count>();

  /**
   * Notes a wrong key; answers what to refuse it with: the error given, or too_many_failures past the limit of a window.
   * Everything that is not about a key passes through uncounted.
   */
  note(peer: Peer, error: AlterError, now: number): AlterError {
    if (error.code !== 'caller_unauthenticated' && error.code !== 'key_revoked') return error;
    const key = peerKey(peer);
    let count = this.#counts.get(key);
    if (count === undefined || count.endsAt <= now) {
      if (this.#counts.size >= MAX_PEERS) this.#counts.clear();
      count = { failures: 0, endsAt: now + WINDOW_MS };
      this.#counts.set(key, count);
    }
    count.failures++;
    // SECURITY: without a limit, guessing costs nothing but time and fills the journal unnoticed (S-79).
    if (count.failures <= MAX_FAILURES) return error;
    return new AlterError('too_many_failures', { reason: `${MAX_FAILURES} wrong keys within ${WINDOW_MS / 1000} s` });
  }
}
