/**
 * Conditions of a rule as functions of the facts, compiled once. `broad` where meeting them leads to a refusal, `strict` where
 * it leads past one; where an origin could read a request in several ways, the reading that restricts more decides.
 */

import { matchesHostPattern } from '../domain/host.ts';
import type { Conditions, ValueTest } from '../domain/policy.ts';
import { compileDeniedPaths, firstSegmentsOf } from './deny-path.ts';
import { gitPushPath, overrideMethods } from './effective-requests.ts';
import { compilePathGlobs } from './path.ts';
import { graphqlCondition, jsonCondition, jsonRpcCondition } from './policy-body.ts';
import type { PolicyFacts } from './policy-facts.ts';
import { headerValues, queryValues } from './request-values.ts';
import { compileSource } from './source-condition.ts';
import { compileTimeWindow } from './time-window.ts';
import { type Condition, NO, type Reading, type Truth, truthOf, UNKNOWN, YES } from './truth.ts';
import { compileValueTest } from './value-test.ts';

/** Compiles expressions; absent as long as no policy has one. */
export interface ExpressionCompiler {
  /** @throws ExpressionProblem */
  compile(source: string): (facts: PolicyFacts) => Truth;
}

const onRequest = (key: string, test: (facts: PolicyFacts) => Truth): Condition => ({ key, dependsOn: 'request', test });

/** The conditions that are set, cheapest first. @throws Error when an expression is there and no compiler */
export function compileConditions(
  conditions: Conditions,
  reading: Reading,
  expressions: ExpressionCompiler | null,
): readonly Condition[] {
  const { hosts, methods, before, after, time, source, users, issuers, groups, git, paths, query, headers, cel } = conditions;
  const { json, graphql, jsonrpc } = conditions;
  const found: Condition[] = [];
  if (hosts !== null) found.push(hostCondition(hosts, reading));
  if (methods !== null) found.push(methodCondition(methods, reading));
  if (before !== null) found.push(onRequest('before', ({ now }) => truthOf(now < before)));
  if (after !== null) found.push(onRequest('after', ({ now }) => truthOf(now >= after)));
  if (time !== null) {
    const windows = time.map(compileTimeWindow);
    found.push(onRequest('time', ({ now }) => truthOf(windows.some((window) => window(now)))));
  }
  if (source !== null) {
    const test = compileSource(source);
    found.push(onRequest('source', (facts) => test(facts.source)));
  }
  if (users !== null) found.push(userCondition(users));
  if (issuers !== null) found.push(issuerCondition(issuers));
  if (groups !== null) found.push(groupCondition(groups));
  if (git !== null) found.push(gitCondition(git, reading));
  if (paths !== null) found.push(pathCondition(paths, reading));
  if (query !== null) found.push(valuesCondition('query', query, reading));
  if (headers !== null) found.push(valuesCondition('headers', headers, reading));
  if (cel !== null) {
    if (expressions === null) throw new Error('an expression needs its compiler');
    found.push(onRequest('cel', expressions.compile(cel)));
  }
  if (json !== null) found.push(jsonCondition(json, reading));
  if (graphql !== null) found.push(graphqlCondition(graphql, reading));
  if (jsonrpc !== null) found.push(jsonRpcCondition(jsonrpc, reading));
  return found;
}

/** Broad: `*.` stands for any number of labels, as in what a session denies; strict: for one, as in a grant. */
export function matchesHosts(hosts: readonly string[], host: string, reading: Reading): boolean {
  return hosts.some((pattern) => {
    if (pattern === '*') return true;
    return reading === 'broad' && pattern.startsWith('*.') ? host.endsWith(pattern.slice(1)) : matchesHostPattern(pattern, host);
  });
}

function hostCondition(hosts: readonly string[], reading: Reading): Condition {
  return {
    key: 'hosts',
    dependsOn: 'host',
    test: ({ destination }) => truthOf(matchesHosts(hosts, destination.host, reading)),
  };
}

/** The method itself and each one that the request asks to be taken for. */
function methodCondition(methods: readonly string[], reading: Reading): Condition {
  const set = new Set(methods);
  const fits = (method: string): boolean => set.has(method) || (reading === 'broad' && set.has(method.toUpperCase()));
  return {
    key: 'methods',
    dependsOn: 'method',
    test: ({ method, headers, target }) => {
      const own = fits(method);
      if (own === (reading === 'broad')) return truthOf(own);
      const others = overrideMethods(headers, target.query);
      return truthOf(reading === 'broad' ? others.some(fits) : others.every(fits));
    },
  };
}

function pathCondition(globs: readonly string[], reading: Reading): Condition {
  if (reading === 'broad') {
    const denies = compileDeniedPaths(globs);
    // SECURITY: no list of readings is complete; a path that is in doubt may be the one that the rule means (S-51).
    const test = ({ target }: PolicyFacts): Truth => (denies(target.path) ? YES : target.doubt === null ? NO : UNKNOWN);
    return { ...onRequest('paths', test), firstSegments: firstSegmentsOf(globs) };
  }
  const allows = compilePathGlobs(globs);
  return onRequest('paths', ({ target }) => (target.doubt === null ? truthOf(allows(target.segments)) : UNKNOWN));
}

function valuesCondition(key: 'query' | 'headers', tests: readonly ValueTest[], reading: Reading): Condition {
  const compiled = tests.map((test) => ({ name: test.name, meets: compileValueTest(test, reading) }));
  return onRequest(key, ({ target, headers }) =>
    truthOf(
      compiled.every(({ name, meets }) =>
        meets((folded) => (key === 'query' ? queryValues(target.query, name, folded) : headerValues(headers, name, folded))),
      ),
    ),
  );
}

export function userCondition(users: readonly string[]): Condition {
  return onRequest('users', ({ principal }) => {
    if (principal === null) return UNKNOWN;
    return truthOf(principal.kind === 'user' && (users.includes('*') || users.includes(principal.user)));
  });
}

function issuerCondition(issuers: readonly string[]): Condition {
  return onRequest('issuers', ({ principal }) => {
    if (principal === null) return UNKNOWN;
    if (principal.kind === 'none') return NO;
    const { issuer = null } = principal;
    return issuer === null ? UNKNOWN : truthOf(issuers.includes(issuer));
  });
}

function groupCondition(groups: readonly string[]): Condition {
  return onRequest('groups', ({ principal }) => {
    if (principal === null) return UNKNOWN;
    if (principal.kind === 'none') return NO;
    return principal.groups === null ? UNKNOWN : truthOf(principal.groups.some((group) => groups.includes(group)));
  });
}

const UPLOAD_PACK = '/git-upload-pack';

/** A push, or its discovery, is `write`; a fetch, or its discovery, is `read`; anything else is neither. */
function gitCondition(kinds: readonly ('read' | 'write')[], reading: Reading): Condition {
  return onRequest('git', ({ target }) => {
    // SECURITY: under a rule about git a path in doubt may be the push that it means.
    if (target.doubt !== null) return UNKNOWN;
    const path = reading === 'broad' ? target.canonical.toLowerCase() : target.canonical;
    const isWrite = gitPushPath(target) !== null || path.endsWith('/git-receive-pack');
    const isRead =
      path.endsWith(UPLOAD_PACK) ||
      (path.endsWith('/info/refs') && queryValues(target.query, 'service', true).some(({ text }) => text === 'git-upload-pack'));
    if (isWrite) return truthOf(kinds.includes('write'));
    return truthOf(isRead && kinds.includes('read'));
  });
}
