/**
 * A host's view as it travels: JSON with snake_case members, and back. What comes back is checked for the members that decide requests:
 * a row without one is refused as a whole, because a rule that is missing would let more pass than was granted.
 */
import { DEFAULT_BODY_BYTES } from '../domain/audit-body.ts';
import { AlterError } from '../domain/errors.ts';
import type { HostView, ViewChange, ViewKind, ViewRows } from './host-view.ts';
import { changeView, EMPTY_VIEW, VIEW_KINDS } from './host-view.ts';

type Json = string | number | boolean | null | readonly Json[] | { readonly [name: string]: Json };
export type WireRow = { readonly [name: string]: Json };
export type WireView = { readonly [K in ViewKind]: readonly WireRow[] };
export type WireChange = { readonly put: ViewKind; readonly row: WireRow } | { readonly remove: ViewKind; readonly id: string };

/** Their members are names that somebody chose, not ours. */
const FREE: ReadonlySet<string> = new Set(['metadata', 'public_fields']);

type Shape = 'string' | 'number' | 'boolean' | 'object' | 'array';
type Members = Readonly<Record<string, readonly Shape[] | { readonly nullable: readonly Shape[] }>>;

const text = ['string'] as const;
const count = ['number'] as const;
const flag = ['boolean'] as const;
const list = ['array'] as const;
const part = ['object'] as const;
const or = (shapes: readonly Shape[]): { readonly nullable: readonly Shape[] } => ({ nullable: shapes });

/** What each kind of row must have. */
const MEMBERS: Readonly<Record<ViewKind, Members>> = {
  agent: {
    id: text,
    name: text,
    status: text,
    created_at: count,
    type: text,
    providers: or(list),
    parent_id: or(text),
    metadata: part,
  },
  key: {
    ...{ id: text, agent_id: text, hash: text, prefix: text, status: text, created_at: count, expires_at: or(count) },
    ...{ bound_uid: or(count), binding: part, parent_key_id: or(text), narrowing: part },
  },
  credential: {
    id: text,
    name: text,
    provider_id: text,
    kind: text,
    field_names: list,
    version: count,
    created_at: count,
    public_fields: part,
  },
  grant: {
    ...{ id: text, label: text, principal: part, grant_kind: text, provider_id: text, credential_id: text, destinations: list },
    ...{ methods: or(list), paths: or(list), git: or(text), excluded_paths: list, operations: list, approval: or(list) },
    ...{ override_mode: text, placeholder: or(text), injections: list, allow_private: flag, allow_plaintext: flag },
    ...{ pass_response_cookies: flag, no_cache: flag, offline_grace_ms: count, status: text, expires_at: or(count) },
    ...{ created_at: count, revoked_at: or(count) },
  },
  user: {
    id: text,
    issuer: text,
    subject: text,
    email: or(text),
    name: or(text),
    groups: list,
    claims_at: count,
    status: text,
    created_at: count,
  },
  delegation: {
    ...{ id: text, user_id: or(text), agent_id: text, grant_id: text, status: text, created_at: count },
    ...{ expires_at: or(count), revoked_at: or(count), revoked_by: or(text) },
  },
  permit: {
    ...{ id: text, agent_id: text, user_id: or(text), grant_id: or(text), delegation_id: or(text), rule: text, method: text },
    ...{ origin: text, path: or(text), approval_id: text, created_by: text, created_at: count, expires_at: or(count) },
  },
  policies: { id: text, digest: text, sources: list, created_at: count },
};

export const wireRow = (row: object): WireRow =>
  renamed(row as WireRow, (name) => name.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`));

export const wireChange = (change: ViewChange): WireChange =>
  'remove' in change ? change : { put: change.put, row: wireRow(change.row) };

export const wireView = (view: HostView): WireView =>
  Object.fromEntries(VIEW_KINDS.map((kind) => [kind, [...view[kind].values()].map(wireRow)])) as unknown as WireView;

/** @throws AlterError vault_unavailable */
export function readWireView(value: unknown): HostView {
  const changes = VIEW_KINDS.flatMap((kind) => {
    const rows = isObject(value) ? value[kind] : undefined;
    if (!Array.isArray(rows)) throw garbled(`a view without its rows of ${kind}`);
    return rows.map((row: unknown) => ({ put: kind, row: readRow(kind, row) }) as ViewChange);
  });
  return changeView(EMPTY_VIEW, changes);
}

/** @throws AlterError vault_unavailable */
export function readWireChange(value: unknown): ViewChange {
  const { put, remove, row, id } = isObject(value) ? value : {};
  const kind = VIEW_KINDS.find((each) => each === put || each === remove);
  if (kind === undefined) throw garbled('a change of an unknown kind');
  if (put !== undefined) return { put: kind, row: readRow(kind, row) } as ViewChange;
  if (typeof id !== 'string') throw garbled('a change that names nothing');
  return { remove: kind, id };
}

function readRow<K extends ViewKind>(kind: K, value: unknown): ViewRows[K] {
  if (!isObject(value)) throw garbled(`no row of ${kind}`);
  for (const [name, shape] of Object.entries(MEMBERS[kind])) {
    const found = value[name];
    const shapes = Array.isArray(shape) ? (shape as readonly Shape[]) : (shape as { nullable: readonly Shape[] }).nullable;
    if (found === null ? Array.isArray(shape) : !shapes.includes(shapeOf(found)))
      throw garbled(`a row of ${kind} without ${name}`);
  }
  const row = renamed(value as WireRow, (name) => name.replace(/_([a-z])/g, (_all, c: string) => c.toUpperCase()));
  return { ...INITIAL[kind], ...row } as unknown as ViewRows[K];
}

/** What does not travel, and what a vault of before does not send because it restricts nothing. */
const INITIAL: Readonly<Partial<Record<ViewKind, object>>> = {
  key: { lastUsedAt: null },
  user: { lastUsedAt: null },
  credential: { lastUsedAt: null },
  grant: { auditBodies: 'none', auditBodyBytes: DEFAULT_BODY_BYTES },
};

/** Lists are passed on as they are: what is in them has the same names everywhere. */
function renamed(value: WireRow, rename: (name: string) => string): WireRow {
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => {
      const isOurs = isObject(member) && !FREE.has(name) && !FREE.has(rename(name));
      return [rename(name), isOurs ? renamed(member as WireRow, rename) : member];
    }),
  );
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const shapeOf = (value: unknown): Shape => (Array.isArray(value) ? 'array' : (typeof value as Shape));

const garbled = (what: string): AlterError =>
  new AlterError(
    'vault_unavailable',
    { reason: `it answered with ${what}` },
    { hint: 'Do the daemon and the vault have versions that fit? Update the older one: `alterd --version`.' },
  );
