/**
 * Placeholders of grants that were removed, as the vault remembers them: hashes in its meta, so under its MAC, and known to each replica. Pure.
 * Must never keep a placeholder itself.
 */
import { placeholderHash, type RetiredPlaceholder } from '../domain/retired-placeholder.ts';
import type { GrantRow, StoreChange, StoreSnapshot } from '../store/rows.ts';

const NAME = 'retired_placeholders';

/** The oldest are forgotten first. */
const MOST = 1_000;

const kept = new Map<string, readonly RetiredPlaceholder[]>();

/** The newest last. */
export function retiredIn({ meta }: Pick<StoreSnapshot, 'meta'>): readonly RetiredPlaceholder[] {
  const text = meta.get(NAME);
  if (text === undefined) return [];
  let list = kept.get(text);
  if (list === undefined) {
    list = Object.freeze(JSON.parse(text) as RetiredPlaceholder[]);
    // It is asked for with each change of anything, and changes with few of them.
    kept.clear();
    kept.set(text, list);
  }
  return list;
}

/** What is to be remembered of the grants that these changes take away. */
export function retirementsOf(rows: StoreSnapshot, changes: readonly StoreChange[], now: number): StoreChange[] {
  const gone = changes.flatMap((change) => ('remove' in change ? goneWith(rows.grants, change.remove, change.id) : []));
  return rememberingOf(rows, gone, now);
}

/**
 * The same for rows that come from elsewhere: their meta with what is not among their grants any more. Without agents there is nobody to raise an
 * alarm, and all of it may come back: a host whose lease has ended.
 */
export function metaAfter(before: StoreSnapshot, after: StoreSnapshot, now: number): StoreSnapshot['meta'] {
  const left = new Set(after.grants.map(({ id }) => id));
  const gone = after.agents.length === 0 ? [] : before.grants.filter(({ id }) => !left.has(id));
  const meta = new Map(after.meta);
  const known = before.meta.get(NAME);
  if (known !== undefined && !meta.has(NAME)) meta.set(NAME, known);
  for (const { name, value } of rememberingOf({ ...after, meta }, gone, now)) meta.set(name, value);
  return meta;
}

type Remembering = Extract<StoreChange, { readonly put: 'meta' }>;

function rememberingOf(rows: StoreSnapshot, gone: readonly GrantRow[], now: number): Remembering[] {
  const fresh = gone.flatMap((grant) => (grant.placeholder === null ? [] : [retired(grant, grant.placeholder, now)]));
  if (fresh.length === 0) return [];
  return [{ put: 'meta', name: NAME, value: JSON.stringify([...retiredIn(rows), ...fresh].slice(-MOST)) }];
}

const retired = (grant: GrantRow, placeholder: string, now: number): RetiredPlaceholder => ({
  hash: placeholderHash(placeholder),
  length: placeholder.length,
  grantId: grant.id,
  grantLabel: grant.label,
  providerId: grant.providerId,
  retiredAt: now,
});

/** Grants go by themselves, and with the agent or the person whose they are. */
function goneWith(grants: readonly GrantRow[], kind: string, id: string): readonly GrantRow[] {
  if (kind === 'grant') return grants.filter((grant) => grant.id === id);
  if (kind === 'agent') return grants.filter(({ principal }) => principal.type === 'agent' && principal.agentId === id);
  if (kind === 'user') return grants.filter(({ principal }) => principal.type === 'user' && principal.userId === id);
  return [];
}
