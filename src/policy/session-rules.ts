/**
 * What a session may do less than its agent (`alterd run --deny`). Compiled once for each session. Must never widen: a list
 * here is only ever asked whether it forbids, so hosts are matched to any depth and paths in every reading.
 */
import type { Narrowing } from '../domain/agent.ts';
import { parseHostPattern } from '../domain/host.ts';
import { compileDeniedPaths, type PathDenial } from './deny-path.ts';
import { validatePathGlob } from './path.ts';

export interface SessionRules {
  /** Upper-case; null when there are none. */
  readonly deniedMethods: ReadonlySet<string> | null;
  readonly deniesPath: PathDenial | null;
  deniesHost(host: string): boolean;
}

const compiled = new WeakMap<Narrowing, SessionRules>();

/** The rules of a session; the same value for the same narrowing. */
export function sessionRulesOf(narrowing: Narrowing): SessionRules {
  let rules = compiled.get(narrowing);
  if (rules === undefined) {
    const { deniedMethods, deniedPaths } = narrowing;
    rules = {
      deniedMethods: deniedMethods.length === 0 ? null : new Set(deniedMethods.map((method) => method.toUpperCase())),
      deniesPath: deniedPaths.length === 0 ? null : compilePaths(deniedPaths),
      deniesHost: compileHosts(narrowing.deniedHosts),
    };
    compiled.set(narrowing, rules);
  }
  return rules;
}

const never = (): boolean => false;
const always = (): boolean => true;

// SECURITY: a restriction that can't be read must not vanish: it forbids everything, here and below.
function compilePaths(globs: readonly string[]): PathDenial {
  return globs.some((glob) => validatePathGlob(glob) !== null) ? always : compileDeniedPaths(globs);
}

function compileHosts(hosts: readonly string[]): (host: string) => boolean {
  if (hosts.length === 0) return never;
  const exact = new Set<string>();
  const suffixes: string[] = [];
  try {
    for (const host of hosts) {
      // Unlike in a grant, `*.com` and a bare `*` are sensible things to forbid.
      if (host === '*') return always;
      if (host.startsWith('*.')) suffixes.push(`.${parseHostPattern(host.slice(2))}`);
      else exact.add(parseHostPattern(host));
    }
  } catch {
    return always;
  }
  return (host) => exact.has(host) || suffixes.some((suffix) => host.endsWith(suffix));
}
