/** Whether a central vault is as it should be, from what its server, its database and its machine say. Pure; each failure names one command. */
import type { FleetHostView, FleetView } from '../../api/fleet.ts';
import { AlterError } from '../../domain/errors.ts';
import type { VaultExamination } from '../../vault-examination.ts';
import { exposed, type Finding, failed, ok, skipped } from './finding.ts';

type StoreGlance = Exclude<VaultExamination['database'], AlterError>;

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
/** A host asks for its view every few minutes at the latest. */
const UNSEEN_MS = 15 * MINUTE_MS;
const LATE_AUDIT_MS = 10 * MINUTE_MS;
/** A request waits for its nonce; a change for several questions. */
const SLOW_MS = 50;
const CLOCK_MS = 5_000;
const LEAST_FREE = 512 * 1024 * 1024;
const EXPIRES_SOON_MS = 2 * DAY_MS;

export function checkDatabase({ database }: VaultExamination): Finding[] {
  if (database instanceof AlterError) return [failed('database', database.message, hintOf(database))];
  const { place, latencyMs, schemaVersion, knownVersion } = database;
  const inMs = `${latencyMs < 1 ? '<1' : Math.round(latencyMs)} ms`;
  return [
    latencyMs <= SLOW_MS
      ? ok('database', `${place}, answers in ${inMs}`)
      : exposed('database', `${place} takes ${inMs} for a small question`, 'Look at its load: `select * from pg_stat_activity`.'),
    checkSchema(schemaVersion, knownVersion),
    ...checkReplicas(database),
  ];
}

function checkSchema(version: number, known: number): Finding {
  if (version === known) return ok('schema', `version ${version}`);
  return version < known
    ? failed('schema', `version ${version}, this alterd wants ${known}`, 'Start the vault of this version: `alterd vault start`.')
    : failed(
        'schema',
        `version ${version}, this alterd knows up to ${known}`,
        'Install the alterd that the newest replica runs; here is `alterd --version`.',
      );
}

function checkReplicas({ replicas, meta }: StoreGlance): Finding[] {
  if (meta.get('vault_id') === undefined)
    return [failed('replicas', 'no central vault has been started over this database', 'Start one: `alterd vault start`.')];
  if (replicas === null) return [ok('replicas', 'one, over a file: there can be no second')];
  const seen = replicas.map(({ from, connections }) => `${from} (${connections} connections)`).join(', ');
  return [
    replicas.length === 0
      ? failed('replicas', 'no alterd is connected to the database', 'Start one: `alterd vault start`.')
      : ok('replicas', `connected from ${seen}`),
  ];
}

export function checkKey({ key }: VaultExamination): Finding {
  if (key === null) return skipped('master key', 'the database does not say which key it has');
  const from = `source "${key.source}"`;
  if (key.fault === undefined)
    return skipped(
      'master key',
      `${from} can only be read inside the unit`,
      'Look at it: `systemctl show -p LoadCredentialEncrypted alterd-vault`.',
    );
  if (key.fault === null) return ok('master key', `${from}; it is the one of the database`);
  return failed('master key', `${from}: ${key.fault.message}`, hintOf(key.fault));
}

/** Against the database's, and against the life of the certificate. */
export function checkClock({ database }: VaultExamination, isSynchronized: boolean | null): Finding {
  const fix = 'Set the clock of this machine: `timedatectl set-ntp true`.';
  const ahead = database instanceof AlterError ? null : database.clockAheadMs;
  if (ahead !== null && Math.abs(ahead) > CLOCK_MS)
    return failed('clock', `${Math.abs(ahead) / 1000} s ${ahead > 0 ? 'ahead of' : 'behind'} the database's`, fix);
  if (isSynchronized === false)
    return exposed('clock', 'nothing keeps it right; hosts whose clocks are a minute apart are refused', fix);
  if (ahead === null && isSynchronized === null)
    return skipped('clock', 'there is no database clock to compare it with, and nothing here says whether it is kept right');
  const about = ahead === null ? [] : [`${Math.abs(ahead)} ms from the database's`];
  return ok(
    'clock',
    [...about, isSynchronized === null ? 'nothing here says whether it is kept right' : 'kept right'].join(', '),
  );
}

/** What the listener showed. */
export interface ShownCertificate {
  readonly notBefore: number;
  readonly notAfter: number;
  /** The pinned authority is in the chain. */
  readonly isPinned: boolean;
  /** Names by which hosts reach the vault that are not in it. */
  readonly missing: readonly string[];
}

export function checkCertificate(shown: ShownCertificate, now: number): Finding {
  const { notBefore, notAfter, isPinned, missing } = shown;
  const until = new Date(notAfter).toISOString().slice(0, 10);
  if (!isPinned)
    return failed(
      'certificate',
      'its chain has not the authority that hosts pinned',
      'Look at vault_server.tls_ca_file: `alterd config show`.',
    );
  if (missing.length > 0)
    return failed(
      'certificate',
      `it is not good for ${missing.join(', ')}`,
      'Correct vault_server.public_names, then `systemctl restart alterd-vault`.',
    );
  if (now < notBefore || now > notAfter)
    return failed(
      'certificate',
      `it is good from ${new Date(notBefore).toISOString()} until ${until}`,
      'Renew it, then `systemctl reload alterd-vault`; or set the clock.',
    );
  return notAfter - now < EXPIRES_SOON_MS
    ? exposed('certificate', `it ends soon, on ${until}`, 'Renew it, then `systemctl restart alterd-vault`.')
    : ok('certificate', `until ${until}, for all public names`);
}

export function checkHosts({ hosts }: FleetView, now: number): Finding[] {
  const active = hosts.filter(({ status }) => status === 'active');
  if (hosts.length === 0) return [skipped('hosts', 'there are none', 'Invite one: `alterd vault host invite NAME`.')];
  const troubles = active.flatMap((host) => [...checkSeen(host, now), ...checkAudit(host, now)]);
  return troubles.length > 0 ? troubles : [ok('hosts', `${active.length} active, all seen lately, their audit is here`)];
}

function checkSeen({ name, last_seen_at: at }: FleetHostView, now: number): Finding[] {
  if (at !== null && now - Date.parse(at) < UNSEEN_MS) return [];
  return [
    exposed(
      `host ${name}`,
      at === null ? 'it was never seen since it enrolled' : `not seen since ${at}`,
      `Is it still there? \`alterd status\` on it; if it is gone for good: \`alterd vault host revoke ${name}\`.`,
    ),
  ];
}

function checkAudit(
  { name, last_seen_at: seen, last_audit_at: came, last_audit_row_at: written }: FleetHostView,
  now: number,
): Finding[] {
  const fix = `Look at the sink of its vault: \`alterd status\` on ${name}.`;
  if (seen === null || now - Date.parse(seen) >= UNSEEN_MS) return [];
  if (came === null) return [exposed(`audit of ${name}`, 'it borrows, but has sent nothing of its journal', fix)];
  const late = written === null ? 0 : Date.parse(came) - Date.parse(written);
  if (late < LATE_AUDIT_MS) return [];
  return [
    exposed(`audit of ${name}`, `its newest row came ${Math.round(late / MINUTE_MS)} minutes late: more may wait there`, fix),
  ];
}

export interface FreeSpace {
  readonly bytes: number;
  readonly total: number;
}

export function checkDisk(directory: string, { bytes, total }: FreeSpace): Finding {
  const free = `${Math.round(bytes / 1024 / 1024)} MiB free (${Math.round((bytes / Math.max(total, 1)) * 100)} %) at ${directory}`;
  const fix = `Make room there: \`du -xh ${directory} | sort -h | tail\`; when it is full, nothing is served.`;
  if (bytes < LEAST_FREE / 8) return failed('disk', free, fix);
  return bytes < LEAST_FREE || bytes < total / 20 ? exposed('disk', free, fix) : ok('disk', free);
}

const hintOf = (error: AlterError): string => error.hint ?? 'Look at the log: `journalctl -u alterd-vault`.';
