/** Joins the data plane to a vault, a journal and the users. Part of the composition root; it decides nothing. */
import { randomBytes } from 'node:crypto';
import { existsSync, unlinkSync } from 'node:fs';
import type { Paths } from '../config/paths.ts';
import type { Config } from '../config/schema.ts';
import type { AuditPort } from '../domain/audit.ts';
import { AlterError } from '../domain/errors.ts';
import { type Identity, openIdentity } from '../identity/identity.ts';
import type { DaemonLog } from '../log.ts';
import { hostPort } from '../observation.ts';
import type { SavedLimit } from '../policy/limit-ledger.ts';
import type { SharedLimits } from '../policy/shared-limits.ts';
import { AuthorityView } from '../proxy/authority-view.ts';
import type { DataPlane, LiveConnection } from '../proxy/data-plane.ts';
import { httpsCaller } from '../proxy/egress/https-call.ts';
import type { Listener } from '../proxy/listener.ts';
import { LiveCheck } from '../proxy/live-check.ts';
import { PlaceholderAlarms } from '../proxy/placeholder-alarms.ts';
import { Policies } from '../proxy/policies.ts';
import { Roster } from '../proxy/roster.ts';
import { type PlaneSettings, planeSettings } from '../proxy/settings.ts';
import { Sweeper } from '../proxy/sweeper.ts';
import { PoolRegistry } from '../proxy/upstream/registry.ts';
import type { Approvals } from '../vault/approvals.ts';
import type { VaultRooms } from '../vault/vault-rooms.ts';

/** The plane's settings are replaced on reload; everything that uses them sees them as read-only. */
export type MutablePlane = { -readonly [K in keyof DataPlane]: DataPlane[K] };

export function settingsOf(config: Config, loopNonce: string, tcp: () => { port: number } | null): PlaneSettings {
  return planeSettings(config, {
    loopNonce,
    ownPorts: () => {
      const bound = tcp();
      return bound === null ? [] : [bound.port];
    },
  });
}

export interface PlaneParts {
  readonly config: Config;
  readonly vault: VaultRooms;
  readonly audit: AuditPort;
  readonly approvals: Approvals;
  readonly log: DaemonLog;
  /** Where the proxy listens; null before it does, and where it does not. */
  readonly tcp: () => { port: number } | null;
  /** Counters of an earlier run. */
  readonly saved: readonly SavedLimit[];
  /** Absent: this installation has a vault of its own. */
  readonly shared?: SharedLimits | undefined;
}

export function joinPlane({ config, vault, audit, approvals, log, tcp, saved, shared }: PlaneParts): MutablePlane {
  const loopNonce = randomBytes(16).toString('hex');
  const sweeper = new Sweeper();
  const live = new Roster<LiveConnection>();
  const plane = {
    ...settingsOf(config, loopNonce, tcp),
    vault,
    audit,
    approvals,
    sweeper,
    log,
    live,
    loopNonce,
    alarms: new PlaceholderAlarms(),
  } as unknown as MutablePlane;
  plane.pools = new PoolRegistry(plane);
  const check = new LiveCheck(plane);
  plane.policies = new Policies({ version: () => vault.epoch, saved, shared: shared ?? null });
  plane.policies.replace(vault.policies.set);
  vault.policies.onChange((set) => plane.policies.replace(set));
  plane.authority = new AuthorityView(vault, () => check.run());
  sweeper.add(check);
  return plane;
}

/** Users come to the plane last: what verifies them dials through the plane itself. */
export function joinIdentity(plane: MutablePlane, vault: VaultRooms, config: () => Config): Identity {
  const identity = openIdentity({
    call: httpsCaller(() => plane),
    users: vault.users,
    isActive: (userId) => vault.authority.users.get(userId)?.status === 'active',
    issuers: () => config().identity.issuers,
  });
  plane.users = identity.tokens;
  return identity;
}

/** @throws AlterError conflict when the address is taken */
export async function listen(listener: Listener, config: Config, paths: Paths): Promise<void> {
  const unix = config.listen.unix ? paths.proxySocket : null;
  if (unix !== null && existsSync(unix)) unlinkSync(unix); // the vault's lock is held: nobody else can be listening here
  try {
    await listener.listen({ tcp: config.listen.tcp, unix });
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code !== 'EADDRINUSE' && code !== 'EACCES' && code !== 'EADDRNOTAVAIL') throw cause;
    const where = config.listen.tcp === null ? unix : hostPort(config.listen.tcp);
    const reason = code === 'EADDRINUSE' ? `something else listens on ${where}` : `${where} can't be listened on (${code})`;
    throw new AlterError(
      'conflict',
      { reason, hint: 'Choose another port: `alterd start --listen 127.0.0.1:0`, or listen.tcp in the configuration.' },
      { cause },
    );
  }
}
