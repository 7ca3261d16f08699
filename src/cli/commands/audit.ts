/** `alterd audit`: reading and following the audit journal; what checks and counts it has files of its own. */
import type { Command } from 'commander';
import type { BodiesView } from '../../api/audit-bodies.ts';
import { apiPath, type Query } from '../../api/client.ts';
import type { EntryView } from '../../api/views.ts';
import { AlterError } from '../../domain/errors.ts';
import { bodiesText } from '../audit-body-text.ts';
import { type FilterFlags, filterOf, withFilters } from '../audit-filter.ts';
import { ENTRY_COLUMNS, entryLine } from '../audit-lines.ts';
import type { Cli } from '../cli.ts';
import { example } from '../define.ts';
import { printable } from '../table.ts';
import { defineCheckpoints, defineExport, defineKey, defineVerify } from './audit-check.ts';
import { defineStats } from './audit-stats.ts';
import { defineTrace } from './audit-trace.ts';

export function defineAudit(command: Command, cli: Cli): void {
  defineTail(command, cli);
  defineList(command, cli);
  defineShow(command, cli);
  defineTrace(command, cli);
  defineStats(command, cli);
  defineVerify(command, cli);
  defineExport(command, cli);
  defineCheckpoints(command, cli);
  defineKey(command, cli);
  example(command, 'alterd audit tail --follow');
}

function defineTail(command: Command, cli: Cli): void {
  const tail = command
    .command('tail')
    .description('the last entries, oldest first')
    .option('-n, --lines <count>', 'how many', '20')
    .option('-f, --follow', 'go on with each new one until Ctrl-C');
  example(withFilters(tail), 'alterd audit tail --follow').action(
    async (flags: FilterFlags & { lines: string; follow?: boolean }) => {
      const filter = filterOf(flags);
      if (flags.follow === true) return follow(cli, filter, countOf(flags.lines));
      const { entries } = await cli
        .client()
        .read<{ entries: EntryView[] }>(apiPath('audit'), { ...filter, limit: countOf(flags.lines) });
      cli.output.list(entries.reverse(), ENTRY_COLUMNS, 'Nothing is recorded yet.');
      const last = entries.findLast((entry) => entry.kind !== 'event');
      if (last !== undefined) cli.output.hint(`Why one went as it did: \`alterd explain ${last.request_id}\`.`);
    },
  );
}

/** The live tail is opened first, so that nothing between it and the page is lost; what is in both is shown once. */
async function follow(cli: Cli, filter: Query, count: number): Promise<void> {
  const shown = new Set<string>();
  const show = (entry: EntryView): void => cli.output.event(entry, entryLine);
  const live = await cli.client().lines<EntryView>(apiPath('audit', 'tail'), filter);
  const { entries } = await cli.client().read<{ entries: EntryView[] }>(apiPath('audit'), { ...filter, limit: count });
  for (const entry of entries.reverse()) {
    shown.add(entry.request_id);
    show(entry);
  }
  for await (const entry of live) if (!shown.delete(entry.request_id)) show(entry);
  throw new AlterError('vault_unavailable', { reason: 'the daemon ended the live tail' });
}

function defineList(command: Command, cli: Cli): void {
  const list = command
    .command('list')
    .description('entries, newest first')
    .option('--limit <count>', 'at most this many', '100')
    .option('--after <n>', 'go on after this position of the chain (`n` of the last entry)')
    .option('--open', 'those that have not ended yet');
  example(withFilters(list), 'alterd audit list --agent research-bot --decision deny --since 1h').action(
    async (flags: FilterFlags & { limit: string; after?: string; open?: boolean }) => {
      const query = { ...filterOf(flags), limit: countOf(flags.limit), after: flags.after, open: flags.open };
      const { entries } = await cli.client().read<{ entries: EntryView[] }>(apiPath('audit'), query);
      cli.output.list(entries, ENTRY_COLUMNS, 'Nothing is recorded that matches.');
    },
  );
}

function defineShow(command: Command, cli: Cli): void {
  const show = command
    .command('show <request-id>')
    .description('one entry with all that is recorded')
    .option('--bodies', 'and the bodies that are kept of it; reading them leaves a row');
  example(show, 'alterd audit show req_01hzy3k9x2').action(async (id: string, flags: { bodies?: boolean }) => {
    const { entry } = await cli.client().read<{ entry: EntryView }>(apiPath('audit', id));
    const bodies = flags.bodies === true ? await cli.client().read<BodiesView>(apiPath('audit', id, 'bodies')) : null;
    const known = Object.entries(entry).filter(([, value]) => value !== null && !(Array.isArray(value) && value.length === 0));
    cli.output.record(
      bodies === null ? entry : { ...entry, request_body: bodies.request, response_body: bodies.response },
      known.map(([name, value]): [string, string] => [name, typeof value === 'string' ? value : JSON.stringify(value)]),
    );
    if (bodies !== null && cli.output.format === 'table') cli.output.raw(bodiesText(bodies));
    if (bodies === null && entry.bodies !== null)
      cli.output.hint(`What was sent: \`alterd audit show ${printable(entry.request_id)} --bodies\`.`);
    else cli.output.hint(`Why it went so: \`alterd explain ${printable(entry.request_id)}\`.`);
  });
}

function countOf(text: string): number {
  if (/^\d{1,4}$/.test(text) && Number(text) > 0) return Number(text);
  throw new AlterError('invalid_input', { problems: [`a number from 1 to 9999 is needed, not ${JSON.stringify(text)}`] });
}
