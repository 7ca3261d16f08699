/**
 * What an expression may say: the variables with their types, the functions, and a check of a parsed expression against both.
 * A name that is not here is a mistake at load, with its place; nothing is left to be found at the first request.
 */

export type CelKind =
  | { readonly is: 'string' | 'int' | 'double' | 'bool' | 'timestamp' | 'duration' | 'null' | 'any' }
  | { readonly is: 'list'; readonly of: CelKind }
  | { readonly is: 'map'; readonly of: CelKind }
  | { readonly is: 'struct'; readonly name: string; readonly fields: Readonly<Record<string, CelKind>> };

const STRING: CelKind = { is: 'string' };
const INT: CelKind = { is: 'int' };
const BOOL: CelKind = { is: 'bool' };
const ANY: CelKind = { is: 'any' };
const struct = (name: string, fields: Readonly<Record<string, CelKind>>): CelKind => ({ is: 'struct', name, fields });
const TEXTS: CelKind = { is: 'list', of: STRING };
const VALUES: CelKind = { is: 'map', of: TEXTS };

/** The documented schema. Facts that are not known are missing, and an expression that reads one denies. */
export const CEL_SCHEMA: Readonly<Record<string, CelKind>> = {
  agent: struct('agent', { id: STRING, name: STRING, session: BOOL }),
  user: struct('user', { id: STRING, issuer: STRING }),
  groups: TEXTS,
  grant: struct('grant', { id: STRING, label: STRING, principal: STRING, credential: STRING }),
  provider: struct('provider', { id: STRING }),
  request: struct('request', {
    method: STRING,
    scheme: STRING,
    host: STRING,
    port: INT,
    path: STRING,
    segments: TEXTS,
    query: VALUES,
    headers: VALUES,
  }),
  source: struct('source', { address: STRING, uid: INT, unit: STRING, executable: STRING }),
  time: { is: 'timestamp' },
};

/** Just what is used of cel.expr.Expr. */
export interface CelNode {
  readonly id: bigint;
  readonly exprKind:
    | {
        readonly case: 'constExpr';
        readonly value: { readonly constantKind: { readonly case: string; readonly value: unknown } };
      }
    | { readonly case: 'identExpr'; readonly value: { readonly name: string } }
    | {
        readonly case: 'selectExpr';
        readonly value: { readonly operand: CelNode; readonly field: string; readonly testOnly: boolean };
      }
    | {
        readonly case: 'callExpr';
        readonly value: { readonly function: string; readonly target?: CelNode; readonly args: readonly CelNode[] };
      }
    | { readonly case: 'listExpr'; readonly value: { readonly elements: readonly CelNode[] } }
    | { readonly case: 'structExpr'; readonly value: unknown }
    | {
        readonly case: 'comprehensionExpr';
        readonly value: {
          readonly iterVar: string;
          readonly iterVar2: string;
          readonly iterRange: CelNode;
          readonly accuVar: string;
          readonly accuInit: CelNode;
          readonly loopCondition: CelNode;
          readonly loopStep: CelNode;
          readonly result: CelNode;
        };
      };
}

export class CelTypeError extends Error {
  readonly nodeId: bigint;
  constructor(nodeId: bigint, message: string) {
    super(message);
    this.nodeId = nodeId;
  }
}

const CONSTANTS: Readonly<Record<string, CelKind>> = {
  stringValue: STRING,
  int64Value: INT,
  doubleValue: { is: 'double' },
  boolValue: BOOL,
  nullValue: { is: 'null' },
};

/** Methods of a kind: what they take and what they answer. */
const METHODS: Readonly<Record<string, { on: string; takes: readonly CelKind[]; gives: CelKind }>> = {
  startsWith: { on: 'string', takes: [STRING], gives: BOOL },
  endsWith: { on: 'string', takes: [STRING], gives: BOOL },
  contains: { on: 'string', takes: [STRING], gives: BOOL },
  matches: { on: 'string', takes: [STRING], gives: BOOL },
};
/** With a zone or without. */
const TIME_METHODS = [
  'getFullYear',
  'getMonth',
  'getDate',
  'getDayOfWeek',
  'getDayOfYear',
  'getHours',
  'getMinutes',
  'getSeconds',
];

const MAX_NODES = 256;
const MAX_PATTERN = 256;

/** Turns `request.path` into a variable of that name, so that nothing has to be wrapped for each request. Call it behind the check. */
export function flattenMembers(node: CelNode): void {
  const { exprKind } = node;
  switch (exprKind.case) {
    case 'selectExpr': {
      const { operand, field } = exprKind.value;
      const owner = operand.exprKind.case === 'identExpr' ? operand.exprKind.value.name : null;
      if (owner !== null && CEL_SCHEMA[owner]?.is === 'struct')
        Object.assign(node, {
          exprKind: { case: 'identExpr', value: { $typeName: 'cel.expr.Expr.Ident', name: flatName(owner, field) } },
        });
      else flattenMembers(operand);
      return;
    }
    case 'callExpr':
      if (exprKind.value.target !== undefined) flattenMembers(exprKind.value.target);
      exprKind.value.args.forEach(flattenMembers);
      return;
    case 'listExpr':
      exprKind.value.elements.forEach(flattenMembers);
      return;
    case 'comprehensionExpr': {
      const { iterRange, accuInit, loopCondition, loopStep, result } = exprKind.value;
      [iterRange, accuInit, loopCondition, loopStep, result].forEach(flattenMembers);
      return;
    }
    default:
  }
}

/** No identifier of CEL has a dollar sign. */
export const flatName = (owner: string, field: string): string => `${owner}$${field}`;

/** Checks that the expression is well typed and answers a bool. Answers the variables and members that it reads. @throws CelTypeError */
export function checkExpression(root: CelNode): ReadonlySet<string> {
  const checker = new ExpressionChecker();
  const kind = checker.kindOf(root, new Map(), 0);
  if (kind.is !== 'bool') throw new CelTypeError(root.id, `the expression must be true or false, not ${textOf(kind)}`);
  return checker.reads;
}

const textOf = (kind: CelKind): string =>
  kind.is === 'list' ? `a list of ${textOf(kind.of)}` : kind.is === 'map' ? 'a map' : kind.is === 'struct' ? kind.name : kind.is;

const isSame = (a: CelKind, b: CelKind): boolean => {
  if (a.is === 'any' || b.is === 'any') return true;
  if (a.is === 'list' && b.is === 'list') return isSame(a.of, b.of);
  if (a.is === 'map' && b.is === 'map') return isSame(a.of, b.of);
  return a.is === b.is;
};

type Scope = ReadonlyMap<string, CelKind>;

class ExpressionChecker {
  readonly reads = new Set<string>();
  #nodes = 0;

  kindOf(node: CelNode, scope: Scope, depth: number): CelKind {
    if (++this.#nodes > MAX_NODES) throw new CelTypeError(node.id, `the expression has more than ${MAX_NODES} parts`);
    const { exprKind } = node;
    switch (exprKind.case) {
      case 'constExpr': {
        const kind = CONSTANTS[exprKind.value.constantKind.case];
        if (kind === undefined) throw new CelTypeError(node.id, 'such a constant is not supported');
        return kind;
      }
      case 'identExpr':
        return this.#variable(node, exprKind.value.name, scope);
      case 'selectExpr':
        return this.#member(node, exprKind.value, scope, depth);
      case 'listExpr': {
        const kinds = exprKind.value.elements.map((element) => this.kindOf(element, scope, depth));
        const of = kinds[0] ?? ANY;
        kinds.forEach((kind, i) => {
          if (!isSame(kind, of))
            throw new CelTypeError((exprKind.value.elements[i] as CelNode).id, 'the list holds several types');
        });
        return { is: 'list', of };
      }
      case 'callExpr':
        return this.#call(node, exprKind.value, scope, depth);
      case 'comprehensionExpr':
        return this.#comprehension(node, exprKind.value, scope, depth);
      default:
        throw new CelTypeError(node.id, 'messages and maps can not be made in a policy');
    }
  }

  #variable(node: CelNode, name: string, scope: Scope): CelKind {
    const local = scope.get(name);
    if (local !== undefined) return local;
    if (!Object.hasOwn(CEL_SCHEMA, name))
      throw new CelTypeError(node.id, `there is no ${name}; there are ${Object.keys(CEL_SCHEMA).join(', ')}`);
    this.reads.add(name);
    return CEL_SCHEMA[name] as CelKind;
  }

  #member(
    node: CelNode,
    { operand, field, testOnly }: { operand: CelNode; field: string; testOnly: boolean },
    scope: Scope,
    depth: number,
  ): CelKind {
    const kind = this.kindOf(operand, scope, depth);
    if (kind.is === 'map') return testOnly ? BOOL : kind.of;
    if (kind.is !== 'struct') throw new CelTypeError(node.id, `${textOf(kind)} has no members, so no ${field}`);
    if (!Object.hasOwn(kind.fields, field))
      throw new CelTypeError(node.id, `${kind.name} has no ${field}; it has ${Object.keys(kind.fields).join(', ')}`);
    // SECURITY: "not there" would be taken for an answer where the fact is only not known (S-91).
    if (testOnly) throw new CelTypeError(node.id, 'has() is for query and headers; what is not known denies');
    this.reads.add(`${kind.name}.${field}`);
    return kind.fields[field] as CelKind;
  }

  #call(
    node: CelNode,
    call: { readonly function: string; readonly target?: CelNode; readonly args: readonly CelNode[] },
    scope: Scope,
    depth: number,
  ): CelKind {
    const args = call.args.map((arg) => this.kindOf(arg, scope, depth));
    if (call.target !== undefined)
      return this.#method(node, call.function, this.kindOf(call.target, scope, depth), args, call.args);
    const want = (index: number, ...kinds: string[]): void => {
      const kind = args[index];
      if (kind === undefined || (kind.is !== 'any' && !kinds.includes(kind.is)))
        throw new CelTypeError(
          (call.args[index] ?? node).id,
          `must be ${kinds.join(' or ')}${kind === undefined ? '' : `, not ${textOf(kind)}`}`,
        );
    };
    const [a, b] = args as [CelKind, CelKind];
    switch (call.function) {
      case '_&&_':
      case '_||_':
        for (const index of args.keys()) want(index, 'bool');
        return BOOL;
      case '!_':
      case '@not_strictly_false':
        want(0, 'bool');
        return BOOL;
      case '_?_:_':
        want(0, 'bool');
        if (!isSame(b, args[2] as CelKind)) throw new CelTypeError(node.id, 'both branches must be of one type');
        return b;
      case '_==_':
      case '_!=_':
        if (!isSame(a, b)) throw new CelTypeError(node.id, `${textOf(a)} is never equal to ${textOf(b)}`);
        return BOOL;
      case '_<_':
      case '_<=_':
      case '_>_':
      case '_>=_':
        want(0, 'string', 'int', 'double', 'timestamp', 'duration');
        if (!isSame(a, b)) throw new CelTypeError(node.id, `${textOf(a)} can not be compared with ${textOf(b)}`);
        return BOOL;
      case '@in':
        want(1, 'list', 'map');
        if (!isSame(a, b.is === 'list' ? b.of : b.is === 'map' ? STRING : ANY))
          throw new CelTypeError(node.id, `${textOf(a)} is never in ${textOf(b)}`);
        return BOOL;
      case '_[_]':
        want(0, 'list', 'map');
        want(1, a.is === 'list' ? 'int' : 'string');
        return a.is === 'list' || a.is === 'map' ? a.of : ANY;
      case '_+_':
      case '_-_':
      case '_*_':
      case '_/_':
      case '_%_':
        want(0, 'int', 'double', ...(call.function === '_+_' ? ['string'] : []));
        if (!isSame(a, b)) throw new CelTypeError(node.id, `${textOf(a)} and ${textOf(b)} do not go together`);
        return a;
      case '-_':
        want(0, 'int', 'double');
        return a;
      case 'size':
        want(0, 'string', 'list', 'map');
        return INT;
      case 'int':
        want(0, 'string', 'int', 'double');
        return INT;
      case 'string':
        want(0, 'string', 'int', 'double', 'bool');
        return STRING;
      case 'timestamp':
        want(0, 'string');
        return { is: 'timestamp' };
      case 'duration':
        want(0, 'string');
        return { is: 'duration' };
      default:
        throw new CelTypeError(node.id, `there is no function ${call.function.replace(/^@|_/g, '')}`);
    }
  }

  #method(node: CelNode, name: string, on: CelKind, args: readonly CelKind[], nodes: readonly CelNode[]): CelKind {
    if (on.is === 'timestamp' && TIME_METHODS.includes(name) && args.length <= 1 && args.every((arg) => arg.is === 'string'))
      return INT;
    if (name === 'size' && args.length === 0 && (on.is === 'string' || on.is === 'list' || on.is === 'map')) return INT;
    const known = Object.hasOwn(METHODS, name) ? METHODS[name] : undefined;
    if (known === undefined || (on.is !== known.on && on.is !== 'any'))
      throw new CelTypeError(node.id, `${textOf(on)} has no function ${name}`);
    if (args.length !== known.takes.length || !args.every((arg, i) => isSame(arg, known.takes[i] as CelKind)))
      throw new CelTypeError(node.id, `${name} takes ${known.takes.map(textOf).join(', ')}`);
    if (name === 'matches') this.#checkPattern(nodes[0] as CelNode);
    return known.gives;
  }

  /** SECURITY: a pattern of the request's own could cost what it likes; a short one of the operator's is linear (RE2). */
  #checkPattern(node: CelNode): void {
    const { exprKind } = node;
    const value = exprKind.case === 'constExpr' ? exprKind.value.constantKind.value : null;
    if (typeof value !== 'string') throw new CelTypeError(node.id, 'the pattern of matches must be written out');
    if (value.length > MAX_PATTERN) throw new CelTypeError(node.id, `the pattern has more than ${MAX_PATTERN} characters`);
  }

  #comprehension(
    node: CelNode,
    loop: Extract<CelNode['exprKind'], { case: 'comprehensionExpr' }>['value'],
    scope: Scope,
    depth: number,
  ): CelKind {
    // SECURITY: loops in loops take the product of what a client sends.
    if (depth > 0) throw new CelTypeError(node.id, 'a loop in a loop is not allowed');
    const range = this.kindOf(loop.iterRange, scope, depth);
    if (range.is !== 'list' && range.is !== 'map')
      throw new CelTypeError(loop.iterRange.id, `${textOf(range)} can not be looped over`);
    if (loop.iterVar2 !== '') throw new CelTypeError(node.id, 'a loop has one variable');
    const inner = new Map(scope).set(loop.iterVar, range.is === 'list' ? range.of : STRING);
    const start = this.kindOf(loop.accuInit, scope, depth);
    inner.set(loop.accuVar, start.is === 'list' ? { is: 'list', of: ANY } : start);
    this.kindOf(loop.loopCondition, inner, depth + 1);
    const step = this.kindOf(loop.loopStep, inner, depth + 1);
    inner.set(loop.accuVar, step);
    return this.kindOf(loop.result, inner, depth);
  }
}
