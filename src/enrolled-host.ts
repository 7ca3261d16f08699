/**
 * `alterd enroll`: makes this installation a host of a central vault. Part of the composition root: it joins the files of the
 * installation with what speaks to the vault. Works without the daemon, and begun again it goes on where it ended.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { readOwnFile, replaceFile } from './ca/own-file.ts';
import { loadConfig } from './config/load.ts';
import type { Paths } from './config/paths.ts';
import type { Config } from './config/schema.ts';
import { withKeys } from './config/toml-edit.ts';
import type { KeyRing } from './crypto/key-ring.ts';
import { loadKeyRing } from './crypto/next-key.ts';
import { AlterError } from './domain/errors.ts';
import type { EnrollAnswer } from './domain/fleet-wire.ts';
import type { Secret } from './domain/secret.ts';
import { masterKeyPlace, prepareFiles } from './installation.ts';
import { HOST_CAPABILITIES } from './vault/host-capabilities.ts';
import { enrollHost, forgetNextKeys, rekeyHost } from './vault-client/enrollment.ts';
import { fetchAuthority } from './vault-client/pinning.ts';

export interface EnrollInstallation {
  readonly paths: Paths;
  readonly config: Config;
  readonly configFile: string;
  readonly version: string;
  readonly url: string;
  /** How the vault's authority is known: by its fingerprint, or by a file that the operator brought. */
  readonly authority: { readonly fingerprint: string } | { readonly file: string };
  readonly token: Secret;
}

export interface EnrolledHost extends EnrollAnswer {
  readonly url: string;
  readonly caFile: string;
  readonly configFile: string;
}

/** Where the vault's authority is kept. */
const caFileOf = (paths: Paths): string => join(paths.configDir, 'vault-ca.crt');

/** @throws AlterError of what failed; nothing that was there is lost then */
export async function enrollInstallation(options: EnrollInstallation): Promise<EnrolledHost> {
  const { paths, config, configFile, version, url, token } = options;
  refuseOtherVault(config, url);
  await prepareFiles(paths);
  const ca = await authorityPem(options);
  const sealer = await masterKeyOf(paths, config);
  const about = { capabilities: HOST_CAPABILITIES, version };
  const answer = await enrollHost({ url, ca, token, stateDir: paths.stateDir, sealer, ...about });
  forgetNextKeys(paths.stateDir);
  const caFile = caFileOf(paths);
  mkdirSync(paths.configDir, { recursive: true, mode: 0o700 });
  if (readOwnFile(caFile)?.toString() !== ca) replaceFile(caFile, ca, 0o644);
  writeSettings(configFile, { url, ca_file: caFile, host_id: answer.host_id, vault_id: answer.vault_id });
  return { ...answer, url, caFile, configFile };
}

export interface RekeyInstallation {
  readonly paths: Paths;
  readonly config: Config;
  readonly version: string;
}

/** New keys for a host that is enrolled. @throws AlterError conflict when it is not */
export async function rekeyInstallation({ paths, config, version }: RekeyInstallation): Promise<EnrollAnswer> {
  const { url, caFile, hostId } = config.vault;
  if (url === null || caFile === null || hostId === null)
    throw new AlterError('conflict', { reason: 'This installation is not enrolled', hint: 'Enroll it: `alterd enroll URL`.' });
  const sealer = await masterKeyOf(paths, config);
  const about = { capabilities: HOST_CAPABILITIES, version };
  return rekeyHost({ url, ca: pemOf(caFile), hostId, stateDir: paths.stateDir, sealer, ...about });
}

function refuseOtherVault(config: Config, url: string): void {
  if (config.vault.url === null || config.vault.url === url) return;
  throw new AlterError('conflict', {
    reason: `This installation borrows from ${config.vault.url} already`,
    hint: 'Empty vault.url in the configuration first, or name another directory with --home.',
  });
}

async function authorityPem({ url, authority }: EnrollInstallation): Promise<string> {
  return 'file' in authority ? pemOf(authority.file) : fetchAuthority(url, authority.fingerprint);
}

function pemOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw new AlterError(
      'invalid_input',
      { problems: [`${file} can't be read (${(cause as NodeJS.ErrnoException).code})`] },
      { cause },
    );
  }
}

/** The master key seals the keys of the host; an installation that has a vault of its own has one already. */
function masterKeyOf(paths: Paths, config: Config): Promise<KeyRing> {
  return loadKeyRing({ ...masterKeyPlace(paths, config), create: !existsSync(paths.vaultDb) }, undefined);
}

/** SECURITY: what was written is read again before it takes the place of the file: a daemon must not start on half of it. */
function writeSettings(file: string, values: Readonly<Record<string, string>>): void {
  const before = readOwnFile(file)?.toString() ?? '';
  const text = withKeys(before, 'vault', values);
  if (text === before) return;
  const draft = `${file}.enroll`;
  replaceFile(draft, text, 0o600);
  const { config } = loadConfig({ file: draft, mustExist: true, env: {} });
  if (config.vault.url !== values.url || config.vault.hostId !== values.host_id)
    throw new AlterError('conflict', {
      reason: `${file} can't be changed by a program`,
      hint: `Write this into it: [vault] ${Object.entries(values)
        .map(([name, value]) => `${name} = "${value}"`)
        .join(', ')}.`,
    });
  replaceFile(file, text, before === '' ? 0o600 : statSync(file).mode & 0o777);
  rmSync(draft, { force: true });
}
