/**
 * Policies from their sources: the files of the `policies/` directory, and texts from elsewhere. Reads, checks and compiles all of
 * them, or tells everything that is wrong; there is no such thing as half a set.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { AlterError } from '../domain/errors.ts';
import type { Policy, PolicySource } from '../domain/policy.ts';
import { loadExpressions } from '../policy/cel.ts';
import { NO_POLICIES, PolicySet } from '../policy/policy-set.ts';
import { shadowedRules } from '../policy/policy-shadow.ts';
import { hasExpressions, type ParsedPolicy, parsePolicy } from './policy-file.ts';
import type { PolicyProblem } from './policy-problem.ts';

/** The files of a directory that need not exist, by name. @throws AlterError invalid_input when one can't be read */
export function readPolicyDirectory(dir: string): PolicySource[] {
  let names: string[];
  try {
    names = readdirSync(dir);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown error';
    if (code === 'ENOENT') return [];
    throw new AlterError('invalid_input', { problems: [`${dir}: can't be read (${code})`] }, { cause: error });
  }
  return names
    .filter((name) => name.endsWith('.toml') && !name.startsWith('.'))
    .sort()
    .map((name) => ({ origin: 'file', place: name, toml: readPolicyFile(join(dir, name)) }));
}

/** @throws AlterError invalid_input */
export function readPolicyFile(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown error';
    throw new AlterError('invalid_input', { problems: [`${file}: can't be read (${code})`] }, { cause: error });
  }
}

export interface LoadedPolicy {
  readonly policy: Policy;
  readonly source: PolicySource;
}

export interface LoadedPolicies {
  /** null when a problem is an error. */
  readonly set: PolicySet | null;
  readonly loaded: readonly LoadedPolicy[];
  readonly problems: readonly PolicyProblem[];
}

/** Never throws for what is written in a source. */
export async function loadPolicies(sources: readonly PolicySource[]): Promise<LoadedPolicies> {
  if (sources.length === 0) return { set: NO_POLICIES, loaded: [], problems: [] };
  const expressions = sources.some(({ toml }) => hasExpressions(toml)) ? await loadExpressions() : null;
  const parsed = sources.map((source) => ({ source, ...parsePolicy(source.toml, source.place, expressions) }));
  const problems = [...parsed.flatMap((each) => each.problems), ...duplicates(parsed)];
  const loaded = parsed.flatMap(({ policy, source }) => (policy === null ? [] : [{ policy, source }]));
  problems.push(...shadows(parsed));
  if (problems.some(({ severity }) => severity === 'error')) return { set: null, loaded, problems };
  return {
    set: new PolicySet(
      loaded.map(({ policy }) => policy),
      expressions,
    ),
    loaded,
    problems,
  };
}

type Parsed = ParsedPolicy & { readonly source: PolicySource };

function duplicates(parsed: readonly Parsed[]): PolicyProblem[] {
  const places = new Map<string, string>();
  return parsed.flatMap(({ policy, source, positionOf }) => {
    if (policy === null) return [];
    const other = places.get(policy.name);
    places.set(policy.name, source.place);
    if (other === undefined) return [];
    const message = `${JSON.stringify(policy.name)} is the name of the policy in ${other} too`;
    return [{ severity: 'error' as const, place: source.place, ...positionOf('name'), path: 'name', message }];
  });
}

/** S-92: rules that can never matter are told, since somebody relies on them. */
function shadows(parsed: readonly Parsed[]): PolicyProblem[] {
  const policies = parsed.flatMap(({ policy }) => (policy === null ? [] : [policy]));
  return shadowedRules(policies).flatMap(({ policy, index, message }) => {
    const found = parsed.find((each) => each.policy === policy);
    if (found === undefined) return [];
    const path = `rules.${index}`;
    return [{ severity: 'warning' as const, place: found.source.place, ...found.positionOf(path), path, message }];
  });
}
