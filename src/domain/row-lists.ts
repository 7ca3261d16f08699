/**
 * Lists of rows that are replaced as wholes while most rows stay the same objects: where two of them agree, so that what is made of each
 * row can be taken over for those that stayed. Rows are told apart by identity alone; the order by creation only finds them sooner, so a
 * list in another order costs time and is never answered wrongly. Pure.
 */

export interface Dated {
  readonly id: string;
  readonly createdAt: number;
}

/** The order of lists. Ids are compared by code unit, as a binary collation does. */
export const byCreation = (a: Dated, b: Dated): number => a.createdAt - b.createdAt || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);

export interface Alignment {
  /** The same objects stand at these places before and after. */
  keep(from: number, to: number, count: number): void;
  come(to: number): void;
  gone?(from: number): void;
}

/** Tells of each place of both lists once: `keep` and `come` in the order of `after`, `gone` in that of `before`. */
export function alignRows<R extends Dated>(before: readonly R[], after: readonly R[], on: Alignment): void {
  const shorter = Math.min(before.length, after.length);
  let start = 0;
  while (start < shorter && before[start] === after[start]) start++;
  let tail = 0;
  while (tail < shorter - start && before[before.length - 1 - tail] === after[after.length - 1 - tail]) tail++;
  if (start > 0) on.keep(0, 0, start);
  const [endBefore, endAfter] = [before.length - tail, after.length - tail];
  let from = start;
  let to = start;
  while (from < endBefore || to < endAfter) {
    const [old, row] = [before[from], after[to]];
    if (from < endBefore && to < endAfter && old === row) on.keep(from++, to++, 1);
    else if (to >= endAfter || (from < endBefore && byCreation(old as R, row as R) < 0)) {
      on.gone?.(from);
      from++;
    } else on.come(to++);
  }
  if (tail > 0) on.keep(endBefore, endAfter, tail);
}

/** What is made of each row: as it was made before where the row is the same, anew for the others. */
export function mapRows<R extends Dated, T>(
  before: { readonly rows: readonly R[]; readonly made: readonly T[] } | null,
  rows: readonly R[],
  make: (row: R) => T,
): T[] {
  if (before === null) return rows.map(make);
  const made: T[] = [];
  alignRows(before.rows, rows, {
    keep: (from, _to, count) => {
      for (let i = from; i < from + count; i++) made.push(before.made[i] as T);
    },
    come: (to) => made.push(make(rows[to] as R)),
  });
  return made;
}

/** The rows that only one of the lists has. */
export function changedRows<R extends Dated>(
  before: readonly R[],
  after: readonly R[],
): { readonly gone: R[]; readonly come: R[] } {
  const changed = { gone: [] as R[], come: [] as R[] };
  alignRows(before, after, {
    keep: () => {},
    gone: (from) => changed.gone.push(before[from] as R),
    come: (to) => changed.come.push(after[to] as R),
  });
  return changed;
}

/** The list with the row in its place, in the place of one with its id. The list must be in the order of lists. */
export function withRow<R extends Dated>(rows: readonly R[], row: R): R[] {
  const next = rows.slice();
  let at = placeOf(next, row);
  if (next[at]?.id === row.id) next[at] = row;
  else {
    const old = next.findIndex(({ id }) => id === row.id);
    if (old >= 0) next.splice(old, 1);
    if (old >= 0 && old < at) at--;
    next.splice(at, 0, row);
  }
  return next;
}

/** Before which row it belongs. */
function placeOf(rows: readonly Dated[], row: Dated): number {
  let low = 0;
  let high = rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (byCreation(rows[middle] as Dated, row) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** A look-up by id that is kept in step with a list that is replaced now and then. */
export class RowsById<R extends Dated> {
  #rows: readonly R[] = [];
  readonly #byId = new Map<string, R>();

  /** As of the list that was given last: an older answer changes with it. */
  of(rows: readonly R[]): ReadonlyMap<string, R> {
    if (rows === this.#rows) return this.#byId;
    const { gone, come } = changedRows(this.#rows, rows);
    for (const { id } of gone) this.#byId.delete(id);
    for (const row of come) this.#byId.set(row.id, row);
    this.#rows = rows;
    return this.#byId;
  }
}

/** The rows of each owner, in the order of lists, kept in step with a list that is replaced now and then. */
export class RowGroups<R extends Dated> {
  #rows: readonly R[] = [];
  #groups: ReadonlyMap<string, readonly R[]> = new Map();
  readonly #ownerOf: (row: R) => string | null;

  /** @param ownerOf null for a row that is in no group */
  constructor(ownerOf: (row: R) => string | null) {
    this.#ownerOf = ownerOf;
  }

  /** The groups of this list; those of other lists stay as they were. */
  of(rows: readonly R[]): ReadonlyMap<string, readonly R[]> {
    if (rows === this.#rows) return this.#groups;
    const { gone, come } = changedRows(this.#rows, rows);
    this.#rows = rows;
    const left = new Set(gone);
    const added = groupBy(come, this.#ownerOf);
    const groups = new Map(this.#groups);
    for (const owner of new Set([...groupBy(gone, this.#ownerOf).keys(), ...added.keys()])) {
      const stayed = (groups.get(owner) ?? []).filter((row) => !left.has(row));
      const group = [...stayed, ...(added.get(owner) ?? [])];
      if (stayed.length > 0) group.sort(byCreation);
      if (group.length === 0) groups.delete(owner);
      else groups.set(owner, group);
    }
    this.#groups = groups;
    return this.#groups;
  }
}

export function groupBy<R>(rows: readonly R[], keyOf: (row: R) => string | null): ReadonlyMap<string, readonly R[]> {
  const groups = new Map<string, R[]>();
  for (const row of rows) {
    const key = keyOf(row);
    if (key === null) continue;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [row]);
    else group.push(row);
  }
  return groups;
}
