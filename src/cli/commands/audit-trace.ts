/** `alterd audit trace`: the entries of one trace or run as a tree with a time line. */
import type { Command } from 'commander';
import { apiPath } from '../../api/client.ts';
import type { EntryView } from '../../api/views.ts';
import { AlterError } from '../../domain/errors.ts';
import { callOf, resultOf } from '../audit-lines.ts';
import type { Cli } from '../cli.ts';
import { example } from '../define.ts';
import { grid, printable } from '../table.ts';

const PAGE = 1000;
const MAX_ENTRIES = 10_000;
const LINE_CHARS = 32;

/** A level of the tree, outermost first: what entries of the same value have in common. */
const LEVELS: readonly { readonly label: string; readonly of: (entry: EntryView) => string | null }[] = [
  { label: 'run', of: ({ run_id }) => run_id },
  { label: 'thread', of: ({ thread_id }) => thread_id },
  { label: 'span', of: ({ parent_span_id }) => parent_span_id },
  { label: 'tool', of: ({ tool }) => tool },
];

export function defineTrace(command: Command, cli: Cli): void {
  const trace = command.command('trace <id>').description('the calls of one trace or run, as a tree with a time line');
  example(trace, 'alterd audit trace 4bf92f3577b34da6a3ce929d0e0e4736').action(async (id: string) => {
    const entries = await readAll(cli, id);
    if (entries.length === 0)
      throw new AlterError('not_found', { what: 'trace or run', name: id, list_command: 'alterd audit list' });
    if (cli.output.format !== 'table') return cli.output.list(entries, [], '');
    cli.output.raw(`${treeOf(id, entries).join('\n')}\n`);
    cli.output.hint(`Why one went as it did: \`alterd explain ${printable(entries[0]?.request_id ?? '')}\`.`);
  });
}

async function readAll(cli: Cli, trace: string): Promise<EntryView[]> {
  const all: EntryView[] = [];
  for (let after: number | undefined; all.length < MAX_ENTRIES; after = all.at(-1)?.n ?? undefined) {
    const { entries } = await cli
      .client()
      .read<{ entries: EntryView[] }>(apiPath('audit'), { trace, order: 'oldest', limit: PAGE, after });
    all.push(...entries);
    if (entries.length < PAGE) return all;
  }
  cli.output.warn(`only the first ${MAX_ENTRIES} entries are shown`);
  return all;
}

interface Timed {
  readonly entry: EntryView;
  readonly at: number;
  readonly ms: number;
}

/** The lines for people: by run, thread, span and tool, in order of time. */
export function treeOf(id: string, entries: readonly EntryView[]): string[] {
  const timed = entries
    .map((entry) => ({ entry, at: Date.parse(entry.at), ms: entry.latency_ms }))
    .toSorted((a, b) => a.at - b.at || (a.entry.n ?? 0) - (b.entry.n ?? 0));
  const start = timed[0]?.at ?? 0;
  const span = Math.max(1, ...timed.map(({ at, ms }) => at + ms - start));
  const denied = entries.filter(({ decision }) => decision === 'deny').length;
  const head = `${printable(id)}: ${entries.length} calls in ${Math.round(span)} ms, ${denied} denied, began ${entries.length === 0 ? '-' : new Date(start).toISOString()}`;
  const rows = branch(timed, LEVELS, '').map(({ text, timed: one }) =>
    one === null
      ? [text]
      : [text, printable(resultOf(one.entry)), `+${one.at - start} ms`, `${Math.round(one.ms)} ms`, timeLine(one, start, span)],
  );
  return [head, ...grid(null, rows).rows];
}

interface Leaf {
  readonly text: string;
  readonly timed: Timed | null;
}

function branch(timed: readonly Timed[], levels: typeof LEVELS, indent: string): Leaf[] {
  const [level, ...rest] = levels;
  if (level === undefined) return timed.map((one) => ({ text: `${indent}${printable(nameOf(one.entry))}`, timed: one }));
  const groups = new Map<string | null, Timed[]>();
  for (const one of timed) {
    const value = level.of(one.entry);
    groups.set(value, [...(groups.get(value) ?? []), one]);
  }
  return [...groups].flatMap(([value, members]) =>
    value === null
      ? branch(members, rest, indent)
      : [{ text: `${indent}${level.label} ${printable(value)}`, timed: null }, ...branch(members, rest, `${indent}  `)],
  );
}

const nameOf = (entry: EntryView): string => `${entry.agent ?? '-'} ${callOf(entry)}`;

/** Where the call lies between the first and the last moment. */
function timeLine({ at, ms }: Timed, start: number, span: number): string {
  const from = Math.min(LINE_CHARS - 1, Math.floor(((at - start) / span) * LINE_CHARS));
  const length = Math.max(1, Math.min(LINE_CHARS - from, Math.round((ms / span) * LINE_CHARS)));
  return `|${' '.repeat(from)}${'='.repeat(length)}${' '.repeat(LINE_CHARS - from - length)}|`;
}
