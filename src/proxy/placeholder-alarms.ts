/**
 * Raises the alarm when a request was refused that carried a placeholder which nobody has any reason to use: of a grant that has ended, is gone,
 * or is another agent's. It is asked after the refusal was sent, and decides nothing.
 * SECURITY: the placeholder never leaves this file; rows, log and notices say whose it was.
 */
import type { AuditOpening, AuditPort } from '../domain/audit.ts';
import { alarmAction, type PlaceholderAlarm } from '../domain/placeholder-alarm.ts';
import { TwoPlaceholders } from '../injection/placeholder.ts';
import type { Misuse } from '../policy/placeholder-index.ts';
import type { Progress } from './admission.ts';
import type { DataPlane } from './data-plane.ts';
import type { Route } from './route.ts';
import { openingOf } from './row.ts';

/** One agent and one placeholder raise one alarm in this time; the next one says how often it was used meanwhile. */
const QUIET_MS = 60_000;
/** Pairs that are remembered; the one that is longest silent is forgotten first. */
const MOST = 4_096;

/** What is needed of the data plane. */
type AlarmPlane = Pick<DataPlane, 'audit' | 'log' | 'authority' | 'policies'>;

interface Recent {
  readonly raisedAt: number;
  /** Uses since. */
  uses: number;
}

export class PlaceholderAlarms {
  /** Who else is to hear of it. Must not throw. */
  onRaise: ((alarm: PlaceholderAlarm) => void) | null = null;
  readonly #recent = new Map<string, Recent>();

  /**
   * Looks at what a refused request carried. Never throws: the request is over.
   * @param thrown what it was refused with
   * @param at when it began
   */
  async look(plane: AlarmPlane, route: Route, progress: Progress, thrown: unknown, at: number): Promise<void> {
    try {
      await this.#look(plane, route, progress, thrown, at);
    } catch (bug) {
      plane.log.error({ stack: (bug as Error | undefined)?.stack }, 'an alarm could not be raised');
    }
  }

  async #look(plane: AlarmPlane, route: Route, progress: Progress, thrown: unknown, at: number): Promise<void> {
    const words = thrown instanceof TwoPlaceholders ? thrown.words : progress.placeholder === null ? [] : [progress.placeholder];
    for (const word of words) {
      const misuse = plane.authority.compiled.placeholderIndex.misuseOf(word, route.caller.identity, at);
      if (misuse === null) continue;
      const uses = this.#count(`${route.caller.identity.agentId} ${misuse.of.grantId}`, Date.now());
      if (uses !== null) await this.#raise(plane, route, misuse, uses, openingFor(plane, route, progress, misuse, uses));
    }
  }

  /** How often it was used since the last alarm; null while that is too near. */
  #count(pair: string, now: number): number | null {
    const recent = this.#recent.get(pair);
    if (recent !== undefined && now - recent.raisedAt < QUIET_MS) {
      recent.uses++;
      return null;
    }
    this.#recent.delete(pair);
    this.#recent.set(pair, { raisedAt: now, uses: 0 });
    if (this.#recent.size > MOST) this.#recent.delete(this.#recent.keys().next().value as string);
    return (recent?.uses ?? 0) + 1;
  }

  async #raise(plane: AlarmPlane, route: Route, { why, of, retiredAt }: Misuse, uses: number, row: AuditOpening): Promise<void> {
    const { agentName: agent, userId } = route.caller.identity;
    const { host } = route.destination;
    const requestId = await recorded(plane.audit, row);
    plane.log.warn(
      { request_id: requestId, agent, grant_id: of.grantId, host, why, uses },
      why === 'foreign' ? "the placeholder of another agent's grant was used" : 'a retired placeholder was used',
    );
    const { grantId, grantLabel, providerId } = of;
    this.onRaise?.({ ...{ requestId, at: row.at, why, agent, userId, grantId, grantLabel, providerId }, retiredAt, host, uses });
  }
}

function openingFor(
  plane: AlarmPlane,
  { caller, destination }: Route,
  { facts }: Progress,
  { why, of, retiredAt }: Misuse,
  uses: number,
): AuditOpening {
  const about = openingOf({
    ...{ kind: 'event', action: alarmAction(why), at: Date.now(), caller, peer: caller.peer, destination },
    ...{ method: null, facts, grant: null, protocol: null, rule: null, error: null },
    ...{ policyVersion: plane.policies.version, replaced: false },
  });
  return {
    ...about,
    decision: null,
    grant_id: of.grantId,
    grant_label: of.grantLabel === '' ? null : of.grantLabel,
    provider_id: of.providerId,
    details: { why, uses, retired_at: retiredAt },
  };
}

/** A journal that can't be written has refused the request already; the log has the alarm all the same. */
async function recorded(audit: AuditPort, row: AuditOpening): Promise<string> {
  const closing = { outcome: 'refused', status: null, error: null, latency_ms: 0, bytes_in: 0, bytes_out: 0 } as const;
  return audit.record(row, closing).catch(() => '');
}
