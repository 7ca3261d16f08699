/** Puts a configuration in force that was read again, and the policy files with it: all of it, or nothing. */
import type { ReloadReport } from '../api/deps.ts';
import type { LoadedConfig } from '../config/load.ts';
import type { Config, KeyPath } from '../config/schema.ts';
import { changedKeys } from '../config/view.ts';
import type { Journal } from '../journal/journal.ts';
import type { DaemonLog } from '../log.ts';
import { noticeTargets } from '../notices/targets.ts';
import { ENDED, event, readAgain } from '../observation.ts';
import type { VaultPolicies } from '../vault/policies.ts';

/** Keys that only a restart puts in force. */
const NEEDS_RESTART: ReadonlySet<string> = new Set<KeyPath>([
  'listen.tcp',
  'listen.unix',
  'audit.sync',
  'audit.sync_interval_ms',
  'audit.segment_bytes',
  'audit.retention_days',
  'audit.bodies_bytes',
  'audit.sink',
  'metrics.listen',
  'keys.source',
  'ca.name_constraints',
  'connect.listen',
  'connect.public_url',
  'connect.tls_cert_file',
  'connect.tls_key_file',
  'vault.url',
  'vault.ca_file',
  'vault.host_id',
  'vault.vault_id',
  'vault_server.listen',
  'vault_server.public_names',
  'vault_server.tls_cert_file',
  'vault_server.tls_key_file',
  'vault_server.tls_ca_file',
  'vault_server.database',
  'vault_server.database_password_file',
]);

export interface ReloadParts<S> {
  readonly reloadConfig: () => LoadedConfig;
  readonly before: LoadedConfig;
  readonly journal: Journal;
  readonly policies: VaultPolicies;
  readonly log: DaemonLog;
  /** Settings of a configuration. @throws AlterError invalid_input */
  readonly settingsOf: (config: Config) => S;
  /** Puts them in force. Must not fail. */
  readonly apply: (next: LoadedConfig, settings: S, targets: ReturnType<typeof noticeTargets>) => void;
}

/** @throws AlterError invalid_input, audit_unavailable; then the old configuration stays in force */
export async function reloadAll<S>(parts: ReloadParts<S>): Promise<ReloadReport> {
  const { before, journal } = parts;
  const next = await readAgain(parts.reloadConfig, journal);
  const settings = parts.settingsOf(next.config);
  const targets = noticeTargets(next.config.approvals);
  const policiesChanged = await reloadPolicies(parts.policies, parts.log);
  const changed = [...changedKeys(before.view, next.view), ...(policiesChanged ? ['policies'] : [])];
  await journal.record(event('config.reloaded', { changed: changed.join(' ') }), ENDED);
  parts.apply(next, settings, targets);
  return { changed, restartRequired: changed.filter((key) => NEEDS_RESTART.has(key)) };
}

/** SECURITY: files that are wrong change nothing, neither here nor in the configuration that came with them (S-107). */
async function reloadPolicies(policies: VaultPolicies, log: DaemonLog): Promise<boolean> {
  try {
    return await policies.apply(await policies.check());
  } catch (thrown) {
    const problems = (thrown as { details?: { problems?: readonly string[] } }).details?.problems ?? [];
    log.error({ problems }, 'policy files are wrong; the policies of before stay in force');
    await policies.noteRefusal(problems);
    throw thrown;
  }
}
