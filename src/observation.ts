/**
 * What the daemon has to be watched by: its own audit events, the sinks of the journal, and the metrics listener. Part of the
 * composition root; it decides nothing.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ProviderLibrary } from './api/deps.ts';
import type { LoadedConfig } from './config/load.ts';
import type { Paths } from './config/paths.ts';
import type { Config } from './config/schema.ts';
import type { AuditOpening, AuditPort } from './domain/audit.ts';
import { BLANK_EVENT } from './domain/audit-event.ts';
import { AlterError, toAlterError } from './domain/errors.ts';
import type { Journal } from './journal/journal.ts';
import type { DaemonLog } from './log.ts';
import { listenForMetrics, type MetricsListener, type Pages } from './metrics/listener.ts';
import { openSinks, type Sinks } from './sinks/sinks.ts';
import type { VaultSinkData } from './sinks/vault-sink.ts';
import type { Approver } from './vault/approvals.ts';

/** The end of an event that went as it should. */
export const ENDED = { outcome: 'success', status: null, error: null, latency_ms: 0, bytes_in: 0, bytes_out: 0 } as const;

/** An event of the daemon itself. */
export function event(action: string, details: Readonly<Record<string, string | number | boolean>>): AuditOpening {
  return { ...BLANK_EVENT, at: Date.now(), action, details };
}

/** Who decides on the API's socket, where nobody has signed in. */
export const localOperator = (): Approver => ({ name: `operator (uid ${process.getuid?.() ?? 'unknown'})`, userId: null });

export function hostPort(address: { host: string; port: number }): string {
  return address.host.includes(':') ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}

/** Reads the configuration again; one that can't be used leaves a row too. @throws AlterError invalid_input */
export async function readAgain(reload: () => LoadedConfig, journal: AuditPort): Promise<LoadedConfig> {
  try {
    return reload();
  } catch (thrown) {
    await journal.record(event('config.refused', {}), { ...ENDED, outcome: 'refused', error: toAlterError(thrown).code });
    throw thrown;
  }
}

/** The catalogue, where a file that an operator adds leaves a row before it is kept. */
export function withEvents(library: ProviderLibrary, journal: AuditPort): ProviderLibrary {
  return {
    find: (name) => library.find(name),
    list: () => library.list(),
    get problems() {
      return library.problems;
    },
    isUserDefined: (slug) => library.isUserDefined(slug),
    overridesBuiltin: (slug) => library.overridesBuiltin(slug),
    validate: (toml) => library.validate(toml),
    add: async (toml, options) => {
      const { slug } = library.validate(toml);
      await journal.record({ ...event('provider.added', { replace: options.replace }), provider_id: slug }, ENDED);
      return library.add(toml, options);
    },
  };
}

/** @throws AlterError conflict when the address is taken */
export async function metricsListener(
  config: Config,
  scrape: () => Promise<string>,
  pages: Pages = {},
): Promise<MetricsListener | null> {
  const address = config.metrics.listen;
  if (address === null) return null;
  try {
    return await listenForMetrics(address, scrape, pages);
  } catch (cause) {
    const reason = `metrics.listen: ${hostPort(address)} can't be listened on (${(cause as NodeJS.ErrnoException).code})`;
    throw new AlterError('conflict', { reason, hint: 'Choose another port for metrics.listen, or "off".' }, { cause });
  }
}

/** The sinks of the configuration, and the central vault of an enrolled host, on feeds of the journal. */
export function sinksOf(
  config: Config,
  paths: Paths,
  journal: Journal,
  tcp: { port: number } | null,
  log: DaemonLog,
  vault?: VaultSinkData,
): Sinks {
  const { caFile, resolve } = config.upstream;
  return openSinks({
    configs: config.audit.sinks,
    dir: join(paths.stateDir, 'sinks'),
    feed: () => journal.feed(),
    vault,
    outbound: {
      overrides: resolve,
      extraCa: caFile === null ? null : readFileSync(caFile, 'utf8'),
      ownPorts: tcp === null ? [] : [tcp.port],
    },
    onTrouble: (fields, message) => log.warn(fields, message),
  });
}
