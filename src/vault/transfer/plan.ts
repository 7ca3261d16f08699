/**
 * What an import would do: which rows are new, which are there already, and which are there and different. Pure; it decides nothing by
 * itself, and its sentences hold names and settings, never material.
 */
import { isDeepStrictEqual } from 'node:util';
import { patternKey } from '../../domain/permit.ts';
import { userLabel } from '../../domain/user.ts';
import type { StoreSnapshot } from '../../store/rows.ts';
import { type MovedRows, ROW_KINDS } from './document.ts';

type Row<K extends keyof MovedRows> = MovedRows[K][number];

export interface ImportPlan {
  /** The rows that are not here. */
  readonly added: MovedRows;
  readonly unchanged: Readonly<Record<keyof MovedRows, number>>;
  /** One sentence for each thing that is here and different. */
  readonly conflicts: readonly string[];
}

/** How rows of a kind are called, and what else than the id may be there only once. */
interface Kind<R> {
  readonly noun: string;
  readonly nameOf: (row: R) => string;
  /** null: nothing. */
  readonly uniqueOf: (row: R) => string | null;
  /** The words for that. */
  readonly unique: string;
}

const KINDS: { readonly [K in keyof MovedRows]: Kind<Row<K>> } = {
  agents: { noun: 'agent', nameOf: (row) => row.name, uniqueOf: (row) => row.name, unique: 'the name' },
  keys: { noun: 'key', nameOf: (row) => `${row.prefix}…`, uniqueOf: (row) => row.hash, unique: 'the key itself' },
  credentials: { noun: 'secret', nameOf: (row) => row.name, uniqueOf: (row) => row.name, unique: 'the name' },
  users: {
    noun: 'user',
    nameOf: userLabel,
    uniqueOf: (row) => JSON.stringify([row.issuer, row.subject]),
    unique: 'issuer and subject',
  },
  grants: {
    noun: 'grant',
    nameOf: (row) => `${row.providerId}${row.label === '' ? '' : ` ${row.label}`} (${row.id.slice(0, 8)})`,
    uniqueOf: (row) =>
      row.label === '' || row.status !== 'active' ? null : JSON.stringify([row.principal, row.providerId, row.label]),
    unique: 'the label',
  },
  delegations: {
    noun: 'delegation',
    nameOf: (row) => row.id.slice(0, 8),
    uniqueOf: (row) => (row.status === 'active' ? JSON.stringify([row.userId, row.agentId, row.grantId]) : null),
    unique: 'user, agent and grant',
  },
  permits: { noun: 'permit', nameOf: (row) => row.id, uniqueOf: patternKey, unique: 'the pattern' },
  policies: { noun: 'policy', nameOf: (row) => row.name, uniqueOf: (row) => row.name, unique: 'the name' },
};

/** Values of these say nothing to people, or more than they should. */
const UNSPOKEN: ReadonlySet<string> = new Set(['hash', 'toml', 'injections']);
const SHOWN_CHARS = 60;

/** @param policyFiles names of policies that files here bring */
export function planImport(moved: MovedRows, here: StoreSnapshot, policyFiles: ReadonlySet<string>): ImportPlan {
  const conflicts: string[] = [];
  const added: Record<string, unknown[]> = {};
  const unchanged: Record<string, number> = {};
  const plan = <K extends keyof MovedRows>(kind: K): void => {
    const { noun, nameOf, uniqueOf, unique } = KINDS[kind] as Kind<Row<K>>;
    const rows = here[kind] as readonly Row<K>[];
    const byId = new Map(rows.map((row) => [row.id, row]));
    const byUnique = new Map(rows.map((row) => [uniqueOf(row), row]));
    const news: Row<K>[] = [];
    let same = 0;
    for (const row of moved[kind] as readonly Row<K>[]) {
      const own = byId.get(row.id);
      const key = uniqueOf(row);
      const other = key === null ? undefined : byUnique.get(key);
      const differences = own === undefined ? [] : differencesOf(own, row);
      if (differences.length > 0) conflicts.push(`${noun} ${nameOf(row)}: ${differences.join(', ')}`);
      else if (own === undefined && other !== undefined)
        conflicts.push(`${noun} ${nameOf(row)}: ${unique} is taken by another one here (id ${other.id}, in the file ${row.id})`);
      else if (own === undefined && kind === 'policies' && policyFiles.has((row as Row<'policies'>).name))
        conflicts.push(`${noun} ${nameOf(row)}: a policy file here has the same name`);
      else if (own === undefined) {
        const lender = lenderOf(kind, row, here);
        if (lender === null) news.push(row);
        else conflicts.push(`${noun} ${nameOf(row)}: ${lender} is here already, and it would open what that may do here`);
      } else same++;
    }
    added[kind] = news;
    unchanged[kind] = same;
  };
  ROW_KINDS.forEach(plan);
  return { added: added as unknown as MovedRows, unchanged: unchanged as ImportPlan['unchanged'], conflicts };
}

/**
 * What is here already that a new row would open for somebody else.
 * SECURITY: with a key that its maker knows, a file would open all that was granted here since; with a permit or delegation, what people
 * were asked about here.
 */
function lenderOf<K extends keyof MovedRows>(kind: K, row: Row<K>, here: StoreSnapshot): string | null {
  if (kind === 'keys') {
    const agent = here.agents.find(({ id }) => id === (row as Row<'keys'>).agentId);
    return agent === undefined ? null : `agent ${agent.name}`;
  }
  if (kind !== 'delegations' && kind !== 'permits') return null;
  const { grantId } = row as Row<'delegations' | 'permits'>;
  const grant = here.grants.find(({ id }) => id === grantId);
  return grant === undefined ? null : `grant ${grant.id.slice(0, 8)}`;
}

/** `methods (here null, in the file ["GET"])` for each setting that differs. Moments of use are none. */
function differencesOf(here: object, there: object): string[] {
  const [a, b] = [here, there] as [Record<string, unknown>, Record<string, unknown>];
  return [...new Set([...Object.keys(a), ...Object.keys(b)])]
    .filter((name) => name !== 'lastUsedAt' && !isDeepStrictEqual(a[name], b[name]))
    .map((name) => (UNSPOKEN.has(name) ? `${name} differs` : `${name} (here ${shown(a[name])}, in the file ${shown(b[name])})`));
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > SHOWN_CHARS ? `${text.slice(0, SHOWN_CHARS)}…` : text;
}

/** Those that others are under come first, as the store wants them. */
export function parentsFirst<R extends { readonly id: string }>(rows: readonly R[], parentOf: (row: R) => string | null): R[] {
  const byId = new Map(rows.map((row) => [row.id, row]));
  const placed = new Set<string>();
  const sorted: R[] = [];
  const place = (row: R): void => {
    if (placed.has(row.id)) return;
    placed.add(row.id);
    const parent = byId.get(parentOf(row) ?? '');
    if (parent !== undefined) place(parent);
    sorted.push(row);
  };
  rows.forEach(place);
  return sorted;
}
