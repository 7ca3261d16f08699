/**
 * `/v1/export` and `/v1/import`: everything of a vault as one sealed file, and back. SECURITY: the file is sealed and opened by the
 * daemon, so that no answer of this API ever holds a value in the clear.
 */
import { Hono } from 'hono';
import * as z from 'zod';
import { AlterError } from '../domain/errors.ts';
import { Secret } from '../domain/secret.ts';
import type { ImportReport, MovedAccount, MovedCounts, VaultExport, VaultTransfer } from '../vault/transfer/transfer.ts';
import type { ApiDeps, ProviderLibrary } from './deps.ts';
import { readBody } from './input.ts';

/** Of a sealed file, as text. */
export const IMPORT_MAX_BYTES = 64 * 1024 * 1024;

const passphrase = z.string().max(4_096);
const exporting = z.strictObject({ passphrase });
const retiring = z.strictObject({
  export_id: z.string().max(64),
  accounts: z.array(z.strictObject({ id: z.string().max(64), version: z.number().int() })).max(100_000),
});
const importing = z.strictObject({
  passphrase,
  file: z.base64(),
  dry_run: z.boolean().default(false),
  allow_references: z.boolean().default(false),
});

export interface ExportView {
  readonly id: string;
  /** Sealed, base64. */
  readonly file: string;
  readonly counts: MovedCounts;
  readonly accounts: readonly {
    readonly id: string;
    readonly name: string;
    readonly provider: string;
    readonly version: number;
    readonly refresh_begun: boolean;
  }[];
  readonly references: readonly string[];
  readonly policy_files: readonly string[];
  readonly provider_files: readonly string[];
}

export interface ImportView {
  readonly id: string;
  readonly exported_at: string;
  readonly outcome: ImportReport['outcome'];
  readonly added: MovedCounts;
  readonly unchanged: MovedCounts;
  readonly conflicts: readonly string[];
  readonly agents: readonly string[];
  readonly missing_providers: readonly string[];
  readonly references: readonly string[];
  readonly accounts: readonly string[];
}

export const exportView = ({ file, accounts, policyFiles, providerFiles, ...rest }: VaultExport): ExportView => ({
  ...{ id: rest.id, counts: rest.counts, references: rest.references },
  file: file.toString('base64'),
  accounts: accounts.map(({ id, name, providerId, version, isBegun }) => ({
    ...{ id, name, version },
    provider: providerId,
    refresh_begun: isBegun,
  })),
  policy_files: policyFiles,
  provider_files: providerFiles,
});

export const importView = (report: ImportReport): ImportView => ({
  id: report.id,
  exported_at: new Date(report.exportedAt).toISOString(),
  outcome: report.outcome,
  added: report.added,
  unchanged: report.unchanged,
  conflicts: report.conflicts,
  agents: report.agents,
  missing_providers: report.missingProviders,
  references: report.references,
  accounts: report.accounts,
});

/** Slugs of the operator's own files: they do not travel. */
export const ownProviderFiles = (providers: ProviderLibrary): string[] =>
  providers.list().flatMap(({ slug }) => (providers.isUserDefined(slug) ? [slug] : []));

export function exportRoutes({ vault, providers }: ApiDeps): Hono {
  const routes = new Hono();

  routes.post('/', async (c) => {
    const { passphrase: text } = await readBody(c, exporting);
    const providerFiles = ownProviderFiles(providers);
    const made = await required(vault.transfer).exportAll({ passphrase: new Secret(text), providerFiles });
    return c.json({ export: exportView(made) });
  });

  routes.post('/retire', async (c) => {
    const { export_id: id, accounts } = await readBody(c, retiring);
    const moved: readonly Pick<MovedAccount, 'id' | 'version'>[] = accounts;
    return c.json({ retired: await required(vault.transfer).retire(id, moved) });
  });

  return routes;
}

export function importRoutes({ vault }: ApiDeps): Hono {
  const routes = new Hono();

  routes.post('/', async (c) => {
    const {
      passphrase: text,
      file,
      dry_run: dryRun,
      allow_references: allowReferences,
    } = await readBody(c, importing, IMPORT_MAX_BYTES);
    const options = { dryRun, allowReferences };
    const report = await required(vault.transfer).importAll(Buffer.from(file, 'base64'), new Secret(text), options);
    return c.json({ import: importView(report) });
  });

  return routes;
}

/** @throws AlterError conflict on a host, where nothing is the vault's own */
function required(transfer: VaultTransfer | undefined): VaultTransfer {
  if (transfer !== undefined) return transfer;
  throw new AlterError('conflict', {
    reason: 'This host borrows what it may use from a central vault, so that there is nothing of its own to move',
    hint: 'Run this on the machine of the vault.',
  });
}
