/**
 * A MAC over every row that decides requests, together with the epoch. Whoever edits the database without the master key
 * (adds a grant, widens a host list, re-activates a key, swaps in older rows) is noticed when the vault is opened.
 * It can't notice a rollback of the whole file to an older state: that state was valid once, and its MAC is too. The epoch in
 * the audit events of the vault shows such a rollback to whoever compares the two.
 */
import { createHash, createHmac, type KeyObject, timingSafeEqual } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { NO_BINDING, NO_NARROWING } from '../domain/agent.ts';
import { DEFAULT_BODY_BYTES } from '../domain/audit-body.ts';
import { alignRows, type Dated } from '../domain/row-lists.ts';
import type { AgentRow, DataKeyRow, GrantRow, KeyRow, ProviderClientRow, StoreSnapshot } from '../store/rows.ts';
import { canonicalJson } from './canonical-json.ts';

export const MAC_NAME = 'authority_mac';

/** What a MAC of this form begins with; one of before has no dot. */
const FORM = '2.';

/**
 * The digests of the rows that were under a MAC last, table by table, so that a change costs its own rows and 32 bytes of each other one.
 * SECURITY: a digest is taken over only for the very object that it was made of.
 */
export class RowDigests {
  readonly #tables = new Map<string, { readonly rows: readonly Dated[]; readonly digests: Buffer }>();

  /** The digests of these rows, one after the other. */
  of({ name, rows, covered }: Table): Buffer {
    const last = this.#tables.get(name) ?? { rows: [], digests: Buffer.alloc(0) };
    if (last.rows === rows) return last.digests;
    const digests = Buffer.allocUnsafe(rows.length * DIGEST_BYTES);
    alignRows(last.rows, rows, {
      keep: (from, to, count) =>
        void last.digests.copy(digests, to * DIGEST_BYTES, from * DIGEST_BYTES, (from + count) * DIGEST_BYTES),
      come: (to) => void digests.write(digestOf(name, rows[to] as Dated, covered), to * DIGEST_BYTES, 'binary'),
    });
    this.#tables.set(name, { rows, digests });
    return digests;
  }
}

const DIGEST_BYTES = 32;

/**
 * MAC of a snapshot, as text: over the epoch, the digests of all rows table by table in their order, and the meta. Moments of last use
 * are left out: they change without a change of authority.
 */
export function macOf(key: KeyObject, snapshot: StoreSnapshot, known = new RowDigests()): string {
  const mac = createHmac('sha256', key);
  mac.update(JSON.stringify({ form: FORM, epoch: snapshot.epoch, meta: metaOf(snapshot) }));
  for (const table of tablesOf(snapshot)) {
    // SECURITY: name and count bind each digest to its table, so that no row can be taken for one of another table.
    mac.update(`\n${table.name} ${table.rows.length}\n`);
    mac.update(known.of(table));
  }
  return `${FORM}${mac.digest('base64url')}`;
}

export function isMacRight(key: KeyObject, snapshot: StoreSnapshot, known = new RowDigests()): boolean {
  const written = snapshot.meta.get(MAC_NAME) ?? '';
  const expected = Buffer.from(written.startsWith(FORM) ? macOf(key, snapshot, known) : macOfBefore(key, snapshot));
  const given = Buffer.from(written);
  return given.length === expected.length && timingSafeEqual(given, expected);
}

interface Table {
  readonly name: string;
  readonly rows: readonly Dated[];
  /** What of a row is covered. */
  readonly covered: (row: never) => object;
}

const asItIs = (row: object): object => row;

/** SECURITY: every table that decides requests; one left out could be edited unseen. */
function tablesOf(s: StoreSnapshot): Table[] {
  return [
    { name: 'agents', rows: s.agents, covered: agentAsBefore },
    { name: 'keys', rows: s.keys, covered: keyAsBefore },
    { name: 'credentials', rows: s.credentials, covered: withoutUse },
    { name: 'grants', rows: s.grants, covered: asBefore },
    { name: 'users', rows: s.users, covered: withoutUse },
    { name: 'delegations', rows: s.delegations, covered: asItIs },
    { name: 'dataKeys', rows: s.dataKeys, covered: wrappedAsText },
    { name: 'policies', rows: s.policies, covered: asItIs },
    { name: 'policySets', rows: s.policySets, covered: asItIs },
    { name: 'permits', rows: s.permits, covered: asItIs },
    { name: 'hosts', rows: s.hosts, covered: withoutUse },
    { name: 'providerClients', rows: s.providerClients, covered: sealedAsText },
  ];
}

/** Without a key: what a digest is good for is decided by the MAC over all of them. Each character is a byte. */
const digestOf = (table: string, row: object, covered: (row: never) => object): string =>
  createHash('sha256')
    .update(`${table}\n${canonicalJson(covered(row as never))}`)
    .digest('binary');

const metaOf = (snapshot: StoreSnapshot): [string, string][] =>
  [...snapshot.meta].filter(([name]) => name !== MAC_NAME).sort(([a], [b]) => (a < b ? -1 : 1));

const wrappedAsText = (row: DataKeyRow): object => ({ ...row, wrapped: Buffer.from(row.wrapped).toString('base64url') });
const sealedAsText = (row: ProviderClientRow): object => ({ ...row, sealed: Buffer.from(row.sealed).toString('base64url') });

/** The MAC of a database that was last changed before there were digests: over the text of everything. Tables that were not there yet are left out. */
function macOfBefore(key: KeyObject, snapshot: StoreSnapshot): string {
  const since = new Set(['users', 'delegations', 'policies', 'policySets', 'permits', 'hosts', 'providerClients']);
  const tables = tablesOf(snapshot).filter(({ name, rows }) => rows.length > 0 || !since.has(name));
  const covered = {
    epoch: snapshot.epoch,
    ...Object.fromEntries(tables.map(({ name, rows, covered: part }) => [name, rows.map((row) => part(row as never))])),
    meta: metaOf(snapshot),
  };
  return createHmac('sha256', key).update(canonicalJson(covered)).digest('base64url');
}

/**
 * A database of before a setting has a MAC without it: its absence is the initial value, and any other is covered like all else. What is
 * undefined is not written.
 */
const asBefore = (row: GrantRow): object => {
  const covered: { -readonly [K in keyof GrantRow]: GrantRow[K] | undefined } = { ...row };
  if (!row.passResponseCookies) covered.passResponseCookies = undefined;
  if (row.operations.length === 0) covered.operations = undefined;
  if (row.approval === null) covered.approval = undefined;
  if (row.git === null) covered.git = undefined;
  if (!row.noCache) covered.noCache = undefined;
  if (row.offlineGraceMs === 0) covered.offlineGraceMs = undefined;
  if (row.auditBodies === 'none') covered.auditBodies = undefined;
  if (row.auditBodyBytes === DEFAULT_BODY_BYTES) covered.auditBodyBytes = undefined;
  return covered;
};

const agentAsBefore = ({ type, providers, parentId, metadata, ...rest }: AgentRow): object => ({
  ...rest,
  ...(type === 'agent' ? {} : { type }),
  ...(providers === null ? {} : { providers }),
  ...(parentId === null ? {} : { parentId }),
  ...(Object.keys(metadata).length === 0 ? {} : { metadata }),
});

const keyAsBefore = (row: KeyRow): object => {
  const { parentKeyId, narrowing, binding, ...rest } = withoutUse(row);
  return {
    ...rest,
    ...(parentKeyId === null ? {} : { parentKeyId }),
    ...(isDeepStrictEqual(narrowing, NO_NARROWING) ? {} : { narrowing }),
    ...(isDeepStrictEqual(binding, NO_BINDING) ? {} : { binding }),
  };
};

const withoutUse = <R extends { readonly lastUsedAt: number | null }>(row: R): Omit<R, 'lastUsedAt'> => {
  const { lastUsedAt: _left, ...rest } = row;
  return rest;
};
