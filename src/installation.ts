/**
 * What an installation consists of on disk, made where it is missing and never overwritten: directories, a commented
 * configuration file, the master key with the vault, and the local CA with the files that clients need.
 */
import { existsSync, mkdirSync } from 'node:fs';
import { copyFile } from 'node:fs/promises';
import { authorityFiles, initAuthority, type KeySealer, type LocalCa, loadAuthority } from './ca/authority.ts';
import { writeNodePreload } from './ca/node-preload.ts';
import { readOwnFile } from './ca/own-file.ts';
import { writeBundle } from './ca/trust.ts';
import type { Paths } from './config/paths.ts';
import type { Config } from './config/schema.ts';
import type { KeyRing } from './crypto/key-ring.ts';
import type { MasterKeyOptions } from './crypto/master-key.ts';
import { loadKeyRing } from './crypto/next-key.ts';
import type { AuditPort } from './domain/audit.ts';
import { AlterError } from './domain/errors.ts';
import { INTERNAL_HOST } from './proxy/route.ts';
import { ownFile } from './runtime/root.ts';
import { openVault } from './vault/vault.ts';

const EXAMPLE = ownFile('config/alterd.example.toml');

/** Directories and the configuration file. Answers what was made. */
export async function prepareFiles(paths: Paths): Promise<string[]> {
  const made: string[] = [];
  for (const dir of [paths.stateDir, paths.configDir]) {
    if (existsSync(dir)) continue;
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    made.push(dir);
  }
  if (!existsSync(paths.configFile)) {
    const { COPYFILE_EXCL } = (await import('node:fs')).constants;
    await copyFile(EXAMPLE, paths.configFile, COPYFILE_EXCL);
    made.push(paths.configFile);
  }
  return made;
}

/** Where the master key of an installation is. */
export const masterKeyPlace = (paths: Paths, config: Config): Omit<MasterKeyOptions, 'create'> => ({
  source: config.keys.source === 'auto' ? undefined : config.keys.source,
  keyFile: paths.masterKeyFile,
  dbFile: paths.vaultDb,
});

/** The CA of the installation, made at the first start, and the files that clients are pointed at. */
export function openAuthority(paths: Paths, config: Config, sealKey: KeySealer): LocalCa {
  const files = authorityFiles(paths.caDir);
  const ca = existsSync(files.key)
    ? loadAuthority(paths.caDir, { sealKey })
    : initAuthority(paths.caDir, { sealKey, nameConstraints: constraintsOf(config) });
  writeClientFiles(paths, ca);
  return ca;
}

/** The daemon's own name is always among them: `alterd doctor` asks it through the proxy. */
function constraintsOf(config: Config): readonly string[] {
  const names = config.ca.nameConstraints;
  return names.length === 0 ? names : [...names, INTERNAL_HOST];
}

/** Bundle and preload, written anew when they changed. */
export function writeClientFiles(paths: Paths, ca: LocalCa): void {
  const previous = readOwnFile(authorityFiles(paths.caDir).previous);
  writeBundle({
    caPem: ca.certPem,
    previousPem: previous === null ? null : previous.toString(),
    outFile: paths.bundleFile,
    inherited: process.env,
  });
  writeNodePreload(paths.caDir);
}

/** `alterd init`: everything of an installation that is missing. @throws AlterError vault_unavailable, conflict (a daemon is running) */
export async function initInstallation(paths: Paths, config: Config): Promise<{ readonly made: readonly string[] }> {
  const parts = [paths.masterKeyFile, paths.vaultDb, paths.caDir, paths.bundleFile];
  const before = new Set(parts.filter((path) => existsSync(path)));
  const made = await prepareFiles(paths);
  const refused: AuditPort = {
    open: () => Promise.reject(new AlterError('audit_unavailable', { reason: 'the journal is not open' })),
    record: () => Promise.reject(new AlterError('audit_unavailable', { reason: 'the journal is not open' })),
  };
  let ring: KeyRing | undefined;
  const vault = await openVault({
    dbFile: paths.vaultDb,
    masterKey: async (recorded) => {
      const options = { ...masterKeyPlace(paths, config), recordedSource: recorded?.source, create: true };
      ring = await loadKeyRing(options, recorded?.checkValue);
      return ring.inForce;
    },
    catalogue: { find: () => undefined },
    audit: refused,
  });
  try {
    openAuthority(paths, config, ring as KeyRing);
  } finally {
    await vault.close();
  }
  return { made: [...made, ...parts.filter((path) => !before.has(path) && existsSync(path))] };
}
