/** Ends a daemon in order: no new requests, those under way within the drain time, then every room, the journal last. */
import type { ApiServer } from '../api/server.ts';
import type { Config } from '../config/schema.ts';
import type { Journal } from '../journal/journal.ts';
import { type DaemonLog, notifySystemd } from '../log.ts';
import { ENDED, event } from '../observation.ts';
import type { DataPlane } from '../proxy/data-plane.ts';
import type { Listener } from '../proxy/listener.ts';
import type { Sinks } from '../sinks/sinks.ts';
import type { Approvals } from '../vault/approvals.ts';
import type { LimitKeeper } from '../vault/limit-keeper.ts';
import type { VaultRooms } from '../vault/vault-rooms.ts';

/** What the sinks get to deliver the last rows at a stop; what is left is due at the next start. */
const SINK_DRAIN_MS = 2_000;

export interface RunningParts {
  readonly plane: DataPlane;
  readonly listener: Listener;
  readonly api: ApiServer;
  readonly vault: VaultRooms;
  readonly journal: Journal;
  readonly approvals: Approvals;
  readonly limitKeeper: LimitKeeper;
  readonly sinks: Sinks;
  readonly config: Config;
  readonly log: DaemonLog;
}

export async function stopAll(parts: RunningParts): Promise<void> {
  const { plane, listener, api, vault, journal, approvals, limitKeeper, sinks, config, log } = parts;
  notifySystemd('STOPPING=1');
  listener.drain();
  approvals.close();
  plane.pools.close();
  const deadline = Date.now() + config.timeouts.drainMs;
  while (!listener.isIdle && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 20));
  if (!listener.isIdle)
    log.warn({ drain_ms: config.timeouts.drainMs }, 'requests were still under way at the end of the drain time');
  listener.destroy();
  for (const each of plane.live) each.destroy('stopping');
  plane.pools.destroy();
  plane.sweeper.close();
  plane.authority.close();
  await api.close();
  await journal.record(event('daemon.stopped', { pid: process.pid }), ENDED).catch(() => {});
  await limitKeeper.close();
  await vault.close();
  // Until the last row is in the database: only from there the sinks have it.
  await journal.stats().catch(() => {});
  await sinks.close(SINK_DRAIN_MS);
  await journal.close();
}
