/**
 * Expressions in CEL, for what typed conditions can't say. The library is loaded only when a policy has one. Anything but true
 * and false, an error or a fact that is missing above all, is unknown, and unknown denies. Must never call out of the expression.
 */

import { CEL_SCHEMA, type CelNode, CelTypeError, checkExpression, flatName, flattenMembers } from './cel-types.ts';
import type { ExpressionCompiler } from './conditions.ts';
import { overrideMethods } from './effective-requests.ts';
import type { PolicyFacts } from './policy-facts.ts';
import { NO, type Truth, UNKNOWN, YES } from './truth.ts';

/** Where in the expression something is wrong: line and column from 1, offset from 0. */
export class ExpressionProblem extends Error {
  readonly offset: number;

  constructor(message: string, offset: number) {
    super(message);
    this.offset = offset;
  }
}

const MAX_SOURCE = 2048;

interface Library {
  readonly cel: typeof import('@bufbuild/cel');
  readonly protobuf: typeof import('@bufbuild/protobuf/wkt');
}

let loading: Promise<ExpressionCompiler> | null = null;

/** The compiler; the same for every caller. */
export function loadExpressions(): Promise<ExpressionCompiler> {
  loading ??= Promise.all([import('@bufbuild/cel'), import('@bufbuild/protobuf/wkt')]).then(
    ([cel, protobuf]) => new CelCompiler({ cel, protobuf }),
  );
  return loading;
}

class CelCompiler implements ExpressionCompiler {
  readonly #library: Library;
  readonly #env: ReturnType<Library['cel']['celEnv']>;

  constructor(library: Library) {
    this.#library = library;
    this.#env = library.cel.celEnv();
  }

  compile(source: string): (facts: PolicyFacts) => Truth {
    if (source.length > MAX_SOURCE) throw new ExpressionProblem(`the expression has more than ${MAX_SOURCE} characters`, 0);
    const parsed = this.#parse(source);
    const reads = this.#check(parsed);
    flattenMembers(parsed.expr as unknown as CelNode);
    const run = this.#library.cel.plan(this.#env, parsed) as (bindings: Record<string, unknown>) => unknown;
    const bind = bindingsOf(reads, this.#library);
    return (facts) => {
      const result = run(bind(facts));
      // SECURITY: errors come back as values; only true is true (S-91).
      return result === true ? YES : result === false ? NO : UNKNOWN;
    };
  }

  #parse(source: string): ReturnType<Library['cel']['parse']> {
    try {
      return this.#library.cel.parse(source);
    } catch (thrown) {
      const at = (thrown as { location?: { start?: { offset?: number } } }).location?.start?.offset ?? 0;
      throw new ExpressionProblem((thrown as Error).message.replace(/^<input>:\d+:\d+: /, ''), at);
    }
  }

  #check(parsed: ReturnType<Library['cel']['parse']>): ReadonlySet<string> {
    try {
      return checkExpression(parsed.expr as unknown as CelNode);
    } catch (thrown) {
      if (!(thrown instanceof CelTypeError)) throw thrown;
      const positions = parsed.sourceInfo?.positions as Readonly<Record<string, number>> | undefined;
      throw new ExpressionProblem(thrown.message, positions?.[String(thrown.nodeId)] ?? 0);
    }
  }
}

/** What is asked for, and nothing else: to make all of it would cost more than the expression. What is not bound is an error for it. */
function bindingsOf(reads: ReadonlySet<string>, library: Library): (facts: PolicyFacts) => Record<string, unknown> {
  const readers = [...reads].flatMap((name) => {
    const [owner = '', field] = name.split('.');
    if (field !== undefined) return [{ name: flatName(owner, field), read: READERS[name] as (facts: PolicyFacts) => unknown }];
    return CEL_SCHEMA[owner]?.is === 'struct'
      ? []
      : [{ name: owner, read: (facts: PolicyFacts) => plainValue(owner, facts, library) }];
  });
  return (facts) => {
    const bindings: Record<string, unknown> = {};
    for (const { name, read } of readers) {
      const value = read(facts);
      if (value !== undefined && value !== null) bindings[name] = value;
    }
    return bindings;
  };
}

function plainValue(name: string, { principal, now }: PolicyFacts, library: Library): unknown {
  if (name === 'time') return library.protobuf.timestampFromMs(now);
  if (principal === null) return undefined;
  return principal.kind === 'none' ? [] : (principal.groups ?? undefined);
}

const READERS: Readonly<Record<string, (facts: PolicyFacts) => unknown>> = {
  'agent.id': ({ caller }) => caller.agentId,
  'agent.name': ({ caller }) => caller.agentName,
  'agent.session': ({ caller }) => caller.sessionId !== null,
  'user.id': ({ principal }) => (principal?.kind === 'user' ? principal.user : undefined),
  'user.issuer': ({ principal }) => (principal?.kind === 'user' ? (principal.issuer ?? undefined) : undefined),
  'grant.id': ({ grant }) => grant.id,
  'grant.label': ({ grant }) => grant.label,
  'grant.principal': ({ grant }) => grant.principal.type,
  'grant.credential': ({ grant }) => grant.credentialName,
  'provider.id': ({ grant }) => grant.providerId,
  // SECURITY: with an override the origin may take it for another method (S-42).
  'request.method': ({ method, headers, target }) => (overrideMethods(headers, target.query).length > 0 ? undefined : method),
  'request.scheme': ({ destination }) => destination.scheme,
  'request.host': ({ destination }) => destination.host,
  'request.port': ({ destination }) => BigInt(destination.port),
  // SECURITY: a path that can be read in two ways is no fact (S-51).
  'request.path': ({ target }) => (target.doubt === null ? target.canonical : undefined),
  'request.segments': ({ target }) => (target.doubt === null ? target.segments : undefined),
  'request.query': ({ target }) => queryMap(target.query),
  'request.headers': ({ headers }) => headerMap(headers),
  'source.address': ({ source }) => source.address,
  'source.uid': ({ source }) => (source.uid === null ? undefined : BigInt(source.uid)),
  'source.unit': ({ source }) => source.unit,
  'source.executable': ({ source }) => source.executable,
};

function queryMap(query: string | null): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const [name, value] of new URLSearchParams(query ?? '')) add(found, name, value);
  return found;
}

/** Names in lower case. SECURITY: without the agent's own key, which must not decide anything by its text. */
function headerMap(headers: readonly string[]): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (let i = 0; i < headers.length; i += 2) {
    const name = (headers[i] as string).toLowerCase();
    if (name !== 'proxy-authorization') add(found, name, headers[i + 1] as string);
  }
  return found;
}

function add(map: Map<string, string[]>, name: string, value: string): void {
  const list = map.get(name);
  if (list === undefined) map.set(name, [value]);
  else list.push(value);
}
