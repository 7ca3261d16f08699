/**
 * What is under way ends with what allowed it: the key, the session, the user, the delegation or the grant (S-99). Looked at on each
 * change of the authority, and every second for what ends by the clock alone.
 */
import { isUserActive } from './call-user.ts';
import type { DataPlane, LiveConnection } from './data-plane.ts';
import type { Expiring } from './sweeper.ts';

const INTERVAL_MS = 1_000;

export class LiveCheck implements Expiring {
  deadlineAt = 0;
  readonly #plane: Pick<DataPlane, 'vault' | 'authority' | 'live'>;

  constructor(plane: Pick<DataPlane, 'vault' | 'authority' | 'live'>) {
    this.#plane = plane;
  }

  expire(): void {
    this.run();
    this.deadlineAt = performance.now() + INTERVAL_MS;
  }

  run(): void {
    const now = Date.now();
    // SECURITY: an answer can stream for hours, and a WebSocket stay open for days.
    for (const each of this.#plane.live) if (!this.#isAllowed(each, now)) each.destroy('ended');
  }

  #isAllowed({ caller, userId, grant }: LiveConnection, now: number): boolean {
    const { vault, authority } = this.#plane;
    if (!vault.isCallerValid(caller) || !isUserActive(vault.authority, userId)) return false;
    if (grant !== null && !vault.isLeased(grant)) return false;
    return grant === null || authority.compiled.grantsOf(caller.agentId, userId).holds(grant.id, now);
  }
}
