/**
 * The effective configuration as people see it: the value and the origin of every key, for `alterd config show`.
 * Values are shown as they were written (durations in ms, references to secret files); a secret never is a value here.
 */
import { KEY_PATHS, type KeyPath } from './schema.ts';

export type ConfigSource = 'default' | 'file' | 'environment' | 'flag';

export interface ConfigViewEntry {
  /** As TOML would give it. */
  readonly value: unknown;
  readonly source: ConfigSource;
  /** `/etc/alterd/alterd.toml:12`, `ALTERD_EGRESS`, or null for a default or a flag. */
  readonly from: string | null;
}

/** By key path, in the order of the table of keys. */
export type ConfigView = Readonly<Record<KeyPath, ConfigViewEntry>>;

/** Keys whose value differs, for the log line of a reload. */
export function changedKeys(before: ConfigView, after: ConfigView): KeyPath[] {
  return KEY_PATHS.filter((path) => JSON.stringify(before[path].value) !== JSON.stringify(after[path].value));
}
