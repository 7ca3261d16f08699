/**
 * The views of hosts at a replica: made when somebody asks, kept while nothing in them changes, and known by a digest that is the same
 * at every replica. A few older ones are remembered, so that a host that was away for a moment gets what changed and not everything.
 */
import { createHash } from 'node:crypto';
import type { FleetHost } from '../domain/fleet-host.ts';
import type { StoreSnapshot } from '../store/rows.ts';
import { HostIndexer, type RowIndex } from '../vault/host-index.ts';
import { diffViews, type HostView, hostView, VIEW_KINDS, type ViewChange } from '../vault/host-view.ts';
import { type WireView, wireRow, wireView } from '../vault/host-wire.ts';

const KEPT_VIEWS = 8;
const MAX_HOSTS = 20_000;

export interface KnownView {
  readonly view: HostView;
  readonly digest: string;
}

const wired = new WeakMap<HostView, WireView>();

/** The view as it travels, made once. */
export function wireOf(view: HostView): WireView {
  let wire = wired.get(view);
  if (wire === undefined) {
    wire = wireView(view);
    wired.set(view, wire);
  }
  return wire;
}

interface Tracked extends KnownView {
  readonly host: FleetHost;
  readonly rows: StoreSnapshot;
  readonly older: readonly KnownView[];
}

export class HostViews {
  readonly #rows: () => StoreSnapshot;
  readonly #indexer = new HostIndexer();
  readonly #hosts = new Map<string, Tracked>();
  #index: { readonly rows: StoreSnapshot; readonly index: RowIndex } | null = null;

  constructor(rows: () => StoreSnapshot) {
    this.#rows = rows;
  }

  /** The rows of now, by what views are made of. */
  get index(): RowIndex {
    const rows = this.#rows();
    if (this.#index?.rows !== rows) this.#index = { rows, index: this.#indexer.index(rows) };
    return this.#index.index;
  }

  of(host: FleetHost): KnownView {
    const rows = this.#rows();
    const known = this.#hosts.get(host.id);
    if (known?.rows === rows && known.host === host) return known;
    const view = hostView(this.index, host);
    // The same objects as before where nothing changed: then the next comparison is a comparison of objects too.
    const isSame = known !== undefined && diffViews(known.view, view).length === 0;
    const next: Tracked = isSame
      ? { ...known, rows, host }
      : {
          ...{ host, rows, view, digest: digestOf(view) },
          older: known === undefined ? [] : [{ view: known.view, digest: known.digest }, ...known.older].slice(0, KEPT_VIEWS),
        };
    this.#hosts.delete(host.id);
    this.#hosts.set(host.id, next);
    if (this.#hosts.size > MAX_HOSTS) this.#hosts.delete(this.#hosts.keys().next().value as string);
    return next;
  }

  /** What leads from the view with this digest to the one of now; null when nobody remembers it. */
  changesSince(host: FleetHost, digest: string): readonly ViewChange[] | null {
    const now = this.of(host);
    if (now.digest === digest) return [];
    const before = this.#hosts.get(host.id)?.older.find((each) => each.digest === digest);
    return before === undefined ? null : diffViews(before.view, now.view);
  }
}

const rowDigests = new WeakMap<object, string>();

function rowDigest(row: object): string {
  let digest = rowDigests.get(row);
  if (digest === undefined) {
    const { last_used_at: _used, ...wire } = wireRow(row);
    const members = Object.entries(wire).toSorted(([a], [b]) => (a < b ? -1 : 1));
    digest = createHash('sha256').update(JSON.stringify(members)).digest('base64url');
    rowDigests.set(row, digest);
  }
  return digest;
}

function digestOf(view: HostView): string {
  const all = VIEW_KINDS.flatMap((kind) => [...view[kind].values()].map((row) => `${kind} ${rowDigest(row)}`)).toSorted();
  return createHash('sha256').update(all.join('\n')).digest('base64url').slice(0, 22);
}
