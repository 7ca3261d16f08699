/**
 * The narrowest policy that the recorded requests of an agent need: hosts, and for each host the methods, and for each of these the
 * paths, with what looks like an id as `*`. A row is what an agent asked for, so nothing here may widen a grant. Pure.
 */
import type { AuditEntry } from '../domain/audit.ts';

export interface Suggestion {
  readonly toml: string;
  /** What it would let through, beside what was seen. */
  readonly allows: readonly SuggestedReach[];
  readonly requests: number;
}

export interface SuggestedReach {
  readonly host: string;
  readonly method: string;
  readonly path: string;
  readonly seen: number;
  /** The path stands for more than was seen. */
  readonly isWider: boolean;
}

const MAX_PATHS = 60;
/** Numbers, UUIDs, and long texts with digits: one of many of its kind. */
const ID = /^(?:\d+|[0-9a-f]{8}-[0-9a-f-]{27}|(?=[\w~-]*\d)[\w~-]{16,}|[0-9a-f]{7,64})$/i;
/** What a glob takes as it is. */
const PLAIN = /^[!-~]+$/;

/** null when there is nothing to go by. */
export function suggestPolicy(agent: string, entries: readonly AuditEntry[]): Suggestion | null {
  const seen = new Map<string, SuggestedReach & { paths: Set<string> }>();
  let requests = 0;
  for (const { kind, decision, outcome, grant_id: grantId, host, method, path } of entries) {
    if (kind !== 'exchange' || decision !== 'allow' || outcome === 'refused' || grantId === null) continue;
    if (host === null || method === null || path === null || !path.startsWith('/')) continue;
    requests++;
    const glob = globOf(path);
    const key = `${host} ${method} ${glob}`;
    const known = seen.get(key);
    if (known === undefined)
      seen.set(key, { host, method, path: glob, seen: 1, isWider: glob.includes('*'), paths: new Set([path]) });
    else seen.set(key, { ...known, seen: known.seen + 1 });
  }
  if (seen.size === 0) return null;
  const allows = narrow([...seen.values()].map(({ paths: _paths, ...reach }) => reach));
  return { toml: tomlOf(agent, allows), allows, requests };
}

function globOf(path: string): string {
  const segments = path.slice(1).split('/');
  return `/${segments.map((segment) => (ID.test(segment) || !isLiteral(segment) ? '*' : segment)).join('/')}`;
}

/** A segment that a glob can hold: no star of the agent's own, nothing that is refused under a path rule. */
const isLiteral = (segment: string): boolean =>
  segment === '' || (PLAIN.test(segment) && !/[*?#\\%;"]/.test(segment) && segment !== '.' && segment !== '..');

/** Too many paths of one kind become their common beginning. */
function narrow(all: readonly SuggestedReach[]): SuggestedReach[] {
  const groups = new Map<string, SuggestedReach[]>();
  for (const reach of all)
    groups.set(`${reach.host} ${reach.method}`, [...(groups.get(`${reach.host} ${reach.method}`) ?? []), reach]);
  return [...groups.values()]
    .flatMap((group) => {
      if (group.length <= MAX_PATHS) return group;
      const first = group[0] as SuggestedReach;
      const seen = group.reduce((sum, reach) => sum + reach.seen, 0);
      return [{ ...first, path: commonGlob(group.map(({ path }) => path)), seen, isWider: true }];
    })
    .sort((a, b) => `${a.host} ${a.path} ${a.method}`.localeCompare(`${b.host} ${b.path} ${b.method}`));
}

function commonGlob(globs: readonly string[]): string {
  const [first = [], ...others] = globs.map((glob) => glob.slice(1).split('/'));
  const common = first.filter(
    (segment, i) =>
      others.every((other) => other.slice(0, i + 1).join('/') === first.slice(0, i + 1).join('/')) && segment !== '',
  );
  return `/${[...common, '**'].join('/')}`;
}

const quoted = (text: string): string => JSON.stringify(text);
const listOf = (texts: readonly string[]): string => `[${[...new Set(texts)].map(quoted).join(', ')}]`;
const slugOf = (text: string): string =>
  text
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 40);

function tomlOf(agent: string, allows: readonly SuggestedReach[]): string {
  const hosts = [...new Set(allows.map(({ host }) => host))];
  const rules = [
    rule('hosts', `when = { hosts = ${listOf(hosts)} }`),
    ...hosts.flatMap((host, index) => {
      const of = allows.filter((reach) => reach.host === host);
      const methods = [...new Set(of.map(({ method }) => method))];
      const name = `${slugOf(host)}-${index + 1}`;
      return [
        rule(`${name}-methods`, `on = { hosts = [${quoted(host)}] }\nwhen = { methods = ${listOf(methods)} }`),
        ...methods.map((method) => {
          const paths = of.filter((reach) => reach.method === method).map(({ path }) => path);
          return rule(
            `${name}-${slugOf(method)}-paths`,
            `on = { hosts = [${quoted(host)}], methods = [${quoted(method)}] }\nwhen = { paths = ${listOf(paths)} }`,
          );
        }),
      ];
    }),
  ];
  const head = [
    `name = ${quoted(`${slugOf(agent)}-seen`)}`,
    `description = ${quoted(`What ${agent} was seen to need.`)}`,
    'layer = "agent"',
    `targets = [${quoted(agent)}]`,
    '# Try it first: mode = "monitor" records what it would have denied.',
    'mode = "enforce"',
  ];
  return `${[...head, ...rules].join('\n')}\n`;
}

const rule = (name: string, body: string): string => `\n[[rules]]\nname = ${quoted(name)}\neffect = "require"\n${body}`;
