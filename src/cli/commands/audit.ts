/** `alterd audit`: reading, following, checking and exporting the audit journal. */
import { createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { type Command, Option } from 'commander';
import { apiPath, type Query } from '../../api/client.ts';
import type { EntryView } from '../../api/views.ts';
import { AlterError } from '../../domain/errors.ts';
import type { Cli } from '../cli.ts';
import { example } from '../define.ts';
import { parsePast } from '../duration.ts';
import { EXIT, ExitStatus } from '../exit-codes.ts';
import type { Column } from '../output.ts';
import { printable } from '../table.ts';

interface FilterFlags {
  readonly agent?: string;
  readonly grant?: string;
  readonly host?: string;
  readonly status?: string;
  readonly outcome?: string;
  readonly decision?: string;
  readonly kind?: string;
  readonly error?: string;
  readonly since?: string;
  readonly until?: string;
}

interface Verification {
  readonly ok: boolean;
  readonly rows: number;
  readonly first_bad?: number;
  readonly reason?: string;
  readonly head_hash: string;
}

export function defineAudit(command: Command, cli: Cli): void {
  defineTail(command, cli);
  defineList(command, cli);
  defineShow(command, cli);
  defineVerify(command, cli);
  defineExport(command, cli);
  example(command, 'alterd audit tail --follow');
}

const withFilters = (command: Command): Command =>
  command
    .option('--agent <name>', 'of this agent')
    .option('--grant <id>', 'of this grant, by id or label')
    .option('--host <host>', 'to this host')
    .option('--status <code>', 'with this HTTP status')
    .addOption(
      new Option('--outcome <outcome>', 'that ended so').choices([
        'success',
        'refused',
        'provider_error',
        'client_abort',
        'unknown',
      ]),
    )
    .addOption(new Option('--decision <decision>', 'that were decided so').choices(['allow', 'deny']))
    .addOption(new Option('--kind <kind>', 'of this kind').choices(['exchange', 'tunnel', 'event']))
    .option('--error <code>', 'with this error code')
    .option('--since <when>', 'after a time, or that long ago (1h)')
    .option('--until <when>', 'before a time, or that long ago');

const filterOf = (flags: FilterFlags): Query => ({
  agent: flags.agent,
  grant: flags.grant,
  host: flags.host,
  status: flags.status,
  outcome: flags.outcome,
  decision: flags.decision,
  kind: flags.kind,
  error: flags.error,
  since: flags.since === undefined ? undefined : parsePast(flags.since, '--since'),
  until: flags.until === undefined ? undefined : parsePast(flags.until, '--until'),
});

const COLUMNS: readonly Column<EntryView>[] = [
  { header: 'TIME', cell: (entry) => entry.at },
  { header: 'REQUEST', cell: (entry) => entry.request_id },
  { header: 'AGENT', cell: (entry) => entry.agent },
  { header: 'CALL', cell: callOf },
  { header: 'GRANT', cell: (entry) => entry.grant_label ?? entry.grant_id },
  { header: 'RESULT', cell: resultOf },
  { header: 'MS', cell: (entry) => (entry.kind === 'event' || entry.closed_at === null ? null : Math.round(entry.latency_ms)) },
];

function callOf(entry: EntryView): string {
  if (entry.kind === 'event') return entry.action;
  const port = entry.port === null || entry.port === 443 ? '' : `:${entry.port}`;
  return `${entry.method ?? (entry.kind === 'tunnel' ? 'CONNECT' : '')} ${entry.host ?? ''}${port}${entry.path ?? ''}`.trim();
}

function resultOf(entry: EntryView): string {
  if (entry.closed_at === null) return 'open';
  if (entry.error !== null) return entry.policy_error === null ? entry.error : `${entry.error} (${entry.policy_error})`;
  if (entry.outcome !== 'success') return entry.outcome;
  return entry.kind === 'exchange' ? String(entry.status ?? 'success') : entry.kind === 'tunnel' ? 'tunnelled' : 'done';
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
      cli.output.list(entries.reverse(), COLUMNS, 'Nothing is recorded yet.');
      const last = entries.findLast((entry) => entry.kind !== 'event');
      if (last !== undefined) cli.output.hint(`Why one went as it did: \`alterd explain ${last.request_id}\`.`);
    },
  );
}

/** The live tail is opened first, so that nothing between it and the page is lost; what is in both is shown once. */
async function follow(cli: Cli, filter: Query, count: number): Promise<void> {
  const shown = new Set<string>();
  const show = (entry: EntryView): void => cli.output.event(entry, lineOf);
  const live = await cli.client().lines<EntryView>(apiPath('audit', 'tail'), filter);
  const { entries } = await cli.client().read<{ entries: EntryView[] }>(apiPath('audit'), { ...filter, limit: count });
  for (const entry of entries.reverse()) {
    shown.add(entry.request_id);
    show(entry);
  }
  for await (const entry of live) if (!shown.delete(entry.request_id)) show(entry);
  throw new AlterError('vault_unavailable', { reason: 'the daemon ended the live tail' });
}

const lineOf = (entry: EntryView): string =>
  [
    entry.at,
    entry.request_id,
    entry.agent ?? '-',
    callOf(entry),
    resultOf(entry),
    entry.kind === 'event' ? '' : `${Math.round(entry.latency_ms)}ms`,
  ]
    .join('  ')
    .trimEnd();

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
      cli.output.list(entries, COLUMNS, 'Nothing is recorded that matches.');
    },
  );
}

function defineShow(command: Command, cli: Cli): void {
  const show = command.command('show <request-id>').description('one entry with all that is recorded');
  example(show, 'alterd audit show req_01hzy3k9x2').action(async (id: string) => {
    const { entry } = await cli.client().read<{ entry: EntryView }>(apiPath('audit', id));
    const known = Object.entries(entry).filter(([, value]) => value !== null && !(Array.isArray(value) && value.length === 0));
    cli.output.record(
      entry,
      known.map(([name, value]): [string, string] => [name, typeof value === 'string' ? value : JSON.stringify(value)]),
    );
    cli.output.hint(`Why it went so: \`alterd explain ${printable(entry.request_id)}\`.`);
  });
}

function defineVerify(command: Command, cli: Cli): void {
  const verify = command.command('verify').description('check that no entry was changed, removed or reordered');
  example(verify, 'alterd audit verify').action(async () => {
    const result = await cli.client().send<Verification>(apiPath('audit', 'verify'));
    cli.output.record(result, [
      ['chain', result.ok ? 'whole' : 'BROKEN'],
      ['entries', result.rows],
      ['first bad', result.first_bad],
      ['reason', result.reason],
      ['head', result.head_hash],
    ]);
    if (result.ok) return;
    cli.output.error(`the chain is broken at ${result.first_bad ?? 'an unknown place'}: ${result.reason ?? 'unknown'}`);
    throw new ExitStatus(EXIT.error);
  });
}

function defineExport(command: Command, cli: Cli): void {
  const exported = command
    .command('export')
    .description('every matching entry, oldest first, as JSON lines or CSV')
    .addOption(new Option('--format <format>', 'form of the export').choices(['jsonl', 'csv']).default('jsonl'))
    .option('--file <path>', 'write to a new file instead of stdout');
  example(withFilters(exported), 'alterd audit export --format csv --since 30d --file audit.csv').action(
    async (flags: FilterFlags & { format: string; file?: string }) => {
      const parts = cli.client().stream(apiPath('audit', 'export'), { ...filterOf(flags), format: flags.format });
      if (flags.file === undefined) return pipeline(parts, process.stdout, { end: false });
      // Never over a file that is there.
      await pipeline(parts, createWriteStream(flags.file, { flags: 'wx', mode: 0o600 }));
      cli.output.note(`Written to ${flags.file}.`);
    },
  );
}

function countOf(text: string): number {
  if (/^\d{1,4}$/.test(text) && Number(text) > 0) return Number(text);
  throw new AlterError('invalid_input', { problems: [`a number from 1 to 9999 is needed, not ${JSON.stringify(text)}`] });
}
