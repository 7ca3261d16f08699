/**
 * Loads the configuration: defaults < file < `ALTERD_*` environment < flags, all problems at once.
 * It keeps no state, so a daemon can load again on SIGHUP and keep what it has when this throws.
 */
import { readFileSync } from 'node:fs';
import { AlterError } from '../domain/errors.ts';
import { type Config, configOf, crossProblems, KEY_PATHS, KEYS, type KeyPath, type Values } from './schema.ts';
import { parseToml } from './toml-document.ts';
import type { ConfigSource, ConfigView, ConfigViewEntry } from './view.ts';

export interface LoadOptions {
  /** The TOML file; absent or undefined means none. */
  readonly file?: string | undefined;
  /** True when the operator named the file: then it must exist. Otherwise a missing file means defaults. */
  readonly mustExist?: boolean;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** By key path, as text: `{ 'listen.tcp': '127.0.0.1:0' }`. */
  readonly flags?: Readonly<Record<string, string | undefined>>;
}

export interface LoadedConfig {
  readonly config: Config;
  readonly view: ConfigView;
}

/** `ALTERD_*` variables that are no configuration keys: they are read elsewhere, or set by alterd for its children. */
export const RESERVED_ENVIRONMENT: ReadonlySet<string> = new Set([
  'ALTERD_HOME',
  'ALTERD_CONFIG',
  'ALTERD_SOCKET',
  'ALTERD_AGENT',
  'ALTERD_SESSION',
  'ALTERD_LABEL',
  'ALTERD_OUTPUT',
]);

/** A raw value that some layer set. */
interface Setting {
  readonly raw: unknown;
  readonly source: ConfigSource;
  readonly from: string | null;
}

type Settings = Map<KeyPath, Setting>;

/** `audit.sync_interval_ms` is `ALTERD_AUDIT_SYNC_INTERVAL_MS`. */
export const environmentName = (path: KeyPath): string => `ALTERD_${path.replace('.', '_').toUpperCase()}`;

/**
 * The effective configuration and where each value came from.
 * @throws AlterError invalid_input
 */
export function loadConfig(options: LoadOptions): LoadedConfig {
  const problems: string[] = [];
  const settings: Settings = new Map();
  for (const path of KEY_PATHS) settings.set(path, { raw: KEYS[path].initial, source: 'default', from: null });
  if (options.file !== undefined) readFileLayer(options.file, options.mustExist === true, settings, problems);
  readEnvironmentLayer(options.env, settings, problems);
  readFlagLayer(options.flags ?? {}, settings, problems);

  const values: Partial<Record<KeyPath, unknown>> = {};
  const view: Partial<Record<KeyPath, ConfigViewEntry>> = {};
  for (const [path, setting] of settings) {
    const reading = KEYS[path].reader.read(setting.raw);
    if ('problem' in reading) problems.push(describe(path, setting, reading.problem));
    else values[path] = reading.value;
    view[path] = { value: setting.raw, source: setting.source, from: setting.from };
  }
  // A value that could not be read would make the cross-checks guess.
  if (problems.length === 0) {
    for (const { path, problem } of crossProblems(values as Values)) problems.push(describe(path, settings.get(path)!, problem));
  }
  if (problems.length > 0) throw new AlterError('invalid_input', { problems });
  return { config: configOf(values as Values), view: view as ConfigView };
}

function describe(path: KeyPath, { source, from }: Setting, problem: string): string {
  if (source === 'environment') return `${from} (${path}) ${problem}`;
  if (source === 'flag') return `the flag for ${path} ${problem}`;
  return from === null ? `${path} ${problem}` : `${from}: ${path} ${problem}`;
}

function readFileLayer(file: string, mustExist: boolean, settings: Settings, problems: string[]): void {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown error';
    if (code !== 'ENOENT' || mustExist) problems.push(`${file}: can't be read (${code})`);
    return;
  }
  const document = parseToml(text);
  if ('problem' in document) {
    problems.push(`${document.line === null ? file : `${file}:${document.line}`}: ${document.problem}`);
    return;
  }
  const place = (path: string): string => {
    const line = document.lineOf(path);
    return line === null ? file : `${file}:${line}`;
  };
  const put = (path: string, raw: unknown): void => {
    if (isKeyPath(path)) settings.set(path, { raw, source: 'file', from: place(path) });
    else problems.push(`${place(path)}: ${path} is not a known key${suggestion(path)}`);
  };
  for (const [name, raw] of Object.entries(document.table)) {
    if (!SECTIONS.has(name)) put(name, raw);
    else if (!isTable(raw)) problems.push(`${place(name)}: ${name} must be a table`);
    else for (const [inner, innerRaw] of Object.entries(raw)) put(`${name}.${inner}`, innerRaw);
  }
}

function readEnvironmentLayer(env: LoadOptions['env'], settings: Settings, problems: string[]): void {
  const byName = new Map(KEY_PATHS.map((path) => [environmentName(path), path]));
  for (const [name, text] of Object.entries(env)) {
    if (!name.startsWith('ALTERD_') || text === undefined || RESERVED_ENVIRONMENT.has(name)) continue;
    const path = byName.get(name);
    // A misspelt variable is an error: the operator believes that the setting is in force.
    if (path === undefined) problems.push(`${name} is not a known variable`);
    else settings.set(path, { raw: KEYS[path].reader.fromText(text), source: 'environment', from: name });
  }
}

function readFlagLayer(flags: Readonly<Record<string, string | undefined>>, settings: Settings, problems: string[]): void {
  for (const [path, text] of Object.entries(flags)) {
    if (text === undefined) continue;
    if (!isKeyPath(path)) problems.push(`the flag for ${path}: not a known key${suggestion(path)}`);
    else settings.set(path, { raw: KEYS[path].reader.fromText(text), source: 'flag', from: null });
  }
}

const SECTIONS: ReadonlySet<string> = new Set(KEY_PATHS.filter((path) => path.includes('.')).map((path) => path.split('.')[0]!));
const isKeyPath = (path: string): path is KeyPath => Object.hasOwn(KEYS, path);
const isTable = (raw: unknown): raw is Record<string, unknown> =>
  typeof raw === 'object' && raw !== null && !Array.isArray(raw) && !(raw instanceof Date);

/** The usual slip is the right name in the wrong section. */
function suggestion(path: string): string {
  const last = path.split('.').at(-1);
  const near = KEY_PATHS.find((known) => known.split('.').at(-1) === last);
  return near === undefined ? '' : `; did you mean ${near}?`;
}
