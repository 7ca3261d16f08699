/**
 * The journals of hosts, as they arrive: each row carries its place and the hash of the row before, so what was changed or left out
 * on the way, or at the host, shows. Pure but for the store. Must never keep a row that does not follow from the one before.
 */
import { AlterError } from '../domain/errors.ts';
import { nextHash } from '../journal/chain.ts';
import { type ChainedRow, parseRowLine } from '../journal/row-line.ts';
import type { HostAudit, HostAuditRow, HostChain } from '../store/store.ts';

export interface Shipment {
  /** In the order of their places; each as the host's journal exports it. */
  readonly lines: readonly string[];
  /** Retention at the host has removed what lies between: rows may begin later than after the last one. */
  readonly gap: boolean;
}

interface AddedRow extends ChainedRow {
  readonly line: string;
}

/**
 * What a shipment adds behind `last`, oldest first; rows that are kept already are left out.
 * @param kept lines of the rows that are kept from the first place of the shipment on
 * @throws AlterError conflict
 */
export function checkShipment(
  last: ChainedRow | undefined,
  kept: ReadonlyMap<number, string>,
  { lines, gap }: Shipment,
): AddedRow[] {
  const added: AddedRow[] = [];
  let before = last;
  for (const line of lines) {
    const row = parseRowLine(line);
    if (row === undefined) throw broken('a line is no row of a journal', (before?.n ?? 0) + 1);
    // SECURITY: the text is what the hash says, so that a row can't be changed on the way or later (S-81).
    if (nextHash(row.prev, row.body) !== row.hash) throw broken('its hash does not fit its text', row.n);
    if (before !== undefined && row.n <= before.n) {
      // SECURITY: sent again, as is allowed; but another text in the place of a row that is kept is another history.
      if (kept.get(row.n) !== line) throw broken('another row is kept for its place', row.n);
      continue;
    }
    const follows = before === undefined ? row.n === 1 : row.n === before.n + 1;
    if (!follows && !(gap && added.length === 0))
      throw broken(`rows before it are missing (${before?.n ?? 0} is the last)`, row.n);
    if (before !== undefined && follows && row.prev !== before.hash)
      throw broken('it does not follow from the row before', row.n);
    added.push({ ...row, line });
    before = row;
  }
  return added;
}

const broken = (reason: string, n: number): AlterError =>
  new AlterError(
    'conflict',
    { reason: `row ${n} of the host's journal was not taken: ${reason}` },
    { hint: 'Look at the journal there: `alterd audit verify` on the host. Nothing that follows is taken until it is mended.' },
  );

export interface Accepted {
  /** The last row that is kept; 0 before the first. */
  readonly upTo: number;
  /** Rows that were new. */
  readonly added: number;
  /** The place of the first row behind a gap; null without one. */
  readonly gapBefore: number | null;
}

/** Checks and keeps a shipment. @throws AlterError conflict, vault_unavailable */
export async function acceptShipment(audit: HostAudit, of: HostChain, shipment: Shipment, now: number): Promise<Accepted> {
  const end = await audit.lastHostAudit(of);
  const last = end === undefined ? undefined : parseRowLine(end.line);
  const from = parseRowLine(shipment.lines[0] ?? '')?.n ?? Number.POSITIVE_INFINITY;
  const again = last !== undefined && from <= last.n ? await audit.listHostAudit(of, from - 1, shipment.lines.length) : [];
  const added = checkShipment(last, new Map(again.map(({ n, line }) => [n, line])), shipment);
  const rows: HostAuditRow[] = added.map(({ n, line }) => ({ n, line, arrivedAt: now }));
  if (rows.length > 0) await audit.addHostAudit(of, rows);
  const first = added[0];
  const gapBefore = first !== undefined && first.n !== (last?.n ?? 0) + 1 ? first.n : null;
  return { upTo: added.at(-1)?.n ?? last?.n ?? 0, added: added.length, gapBefore };
}
