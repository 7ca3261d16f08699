/** The effective configuration as a command line sees it: the file, ALTERD_* and the flags. */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { type LoadedConfig, loadConfig } from '../config/load.ts';
import type { Paths } from '../config/paths.ts';
import type { Cli } from './cli.ts';

export interface ConfigFile {
  readonly file: string;
  /** True when someone named it: then it has to be there. */
  readonly mustExist: boolean;
}

/** `--config`, else ALTERD_CONFIG, else the installation's own. */
export function configFileOf(cli: Cli, paths: Paths): ConfigFile {
  const named = cli.globals.config ?? (cli.env.ALTERD_CONFIG || undefined);
  return named === undefined ? { file: paths.configFile, mustExist: false } : { file: resolve(named), mustExist: true };
}

/** @throws AlterError invalid_input with every problem */
export function loadSettings(cli: Cli, paths: Paths, flags: Readonly<Record<string, string | undefined>>): LoadedConfig {
  return loadConfig({ ...configFileOf(cli, paths), env: cli.env, flags });
}

export const isConfigFilePresent = (cli: Cli, paths: Paths): boolean => existsSync(configFileOf(cli, paths).file);
