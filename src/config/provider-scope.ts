/**
 * The keys of a provider file that say where its credential belongs more closely than hosts do:
 *
 *   only_paths = ["/api/**"]            # the API of a host that is also a web site: what a grant is for unless it names paths itself
 *   git_hosts = ["github.com"]          # those of the hosts that serve repositories over HTTPS
 *   probe = "GET /user"                 # a harmless request that only a good credential gets a 2xx for; GET HOST/PATH for another host than the first
 *   [[shares_host_with]]                # provider, reason: another file that may name the same host, and why an operator can tell them apart
 *
 * Must never widen what `hosts` and `excluded_paths` say.
 */
import { validatePathGlob } from '../policy/path.ts';
import type { TableReader } from './table-reader.ts';

export interface ProviderScope {
  /** Those of the hosts that serve git repositories. */
  readonly gitHosts?: readonly string[];
  /** What a grant is for when it names no paths of its own; absent: every path. */
  readonly onlyPaths?: readonly string[];
  readonly probe?: ProviderProbe;
  readonly sharesHostWith?: readonly SharedHost[];
}

/** A harmless GET. */
export interface ProviderProbe {
  /** As in `hosts`, `{field}` included. */
  readonly host: string;
  readonly path: string;
}

export interface SharedHost {
  readonly provider: string;
  readonly reason: string;
}

const PROBE = /^GET ([^\s/]*)(\/[!-~]*)$/;
const SLUG = /^[a-z0-9][a-z0-9-]{0,62}$/;

/** Reads these keys; `hosts` are those of the file. */
export function readScope(reader: TableReader, hosts: readonly string[]): ProviderScope {
  const gitHosts = reader.texts('git_hosts', 'one of the hosts', (text) => (hosts.includes(text) ? text : null));
  const onlyPaths = reader.texts('only_paths', 'a path such as /api/**', (text) =>
    validatePathGlob(text) === null ? text : null,
  );
  const probe = reader.optionalText('probe', (text) => (readProbe(text, hosts) === null ? PROBE_SHAPE : null));
  const shared = reader.tables('shares_host_with', (each) => ({
    provider: each.text('provider', (text) => (SLUG.test(text) ? null : 'must be the slug of another provider')),
    reason: each.text('reason', (text) => (text.trim() === '' ? 'must say why' : null)),
  }));
  const read = probe === undefined ? null : readProbe(probe, hosts);
  return {
    ...(gitHosts.length === 0 ? {} : { gitHosts }),
    ...(onlyPaths.length === 0 ? {} : { onlyPaths }),
    ...(read === null ? {} : { probe: read }),
    ...(shared.length === 0 ? {} : { sharesHostWith: shared }),
  };
}

const PROBE_SHAPE = 'must be "GET /PATH" or "GET HOST/PATH" with one of the hosts';

function readProbe(text: string, hosts: readonly string[]): ProviderProbe | null {
  const match = PROBE.exec(text);
  const host = match?.[1] === '' ? hosts[0] : match?.[1];
  return match === null || host === undefined || !hosts.includes(host) ? null : { host, path: match[2]! };
}
