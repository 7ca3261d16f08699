/** `alterd audit stats`: what was called in a period, counted, as charts for people and as numbers for programs. */
import type { Command } from 'commander';
import { apiPath } from '../../api/client.ts';
import type { AuditCount, AuditSummary } from '../../journal/reader.ts';
import { type FilterFlags, filterOf, withFilters } from '../audit-filter.ts';
import { bar, sparkline } from '../chart.ts';
import type { Cli } from '../cli.ts';
import { example } from '../define.ts';
import { grid, printable } from '../table.ts';

const HOUR_MS = 3_600_000;
const BAR_CHARS = 30;
const SPARK_CHARS = 72;
const TITLES: Readonly<Record<keyof AuditSummary['by'], string>> = {
  provider: 'providers',
  agent: 'agents',
  decision: 'decisions',
  status: 'answers',
  error: 'errors',
};

export function defineStats(command: Command, cli: Cli): void {
  const stats = command
    .command('stats')
    .description('what was called, counted: providers, agents, decisions, errors, latency, hours');
  example(withFilters(stats), 'alterd audit stats --since 7d --agent research-bot').action(async (flags: FilterFlags) => {
    const since = flags.since ?? '24h';
    const summary = await cli.client().read<AuditSummary>(apiPath('audit', 'stats'), filterOf({ ...flags, since }));
    if (cli.output.format !== 'table') return cli.output.record(summary, []);
    cli.output.raw(`${chartsOf(summary, cli.output.isTerminal, since).join('\n')}\n`);
  });
}

/** The lines for people. */
export function chartsOf(summary: AuditSummary, fancy: boolean, since: string): string[] {
  const share = summary.requests === 0 ? 0 : Math.round((summary.denied / summary.requests) * 1000) / 10;
  const lines = [
    `${summary.requests} requests since ${printable(since)}, ${summary.denied} denied (${share} %), ${summary.events} events`,
    `${sizeText(summary.bytes_out)} sent, ${sizeText(summary.bytes_in)} received, ${summary.scrubbed} secrets masked in answers`,
  ];
  const { latency_ms: latency } = summary;
  if (latency !== null)
    lines.push(
      `latency p50 ${msText(latency.p50)}  p90 ${msText(latency.p90)}  p99 ${msText(latency.p99)}  max ${msText(latency.max)}`,
    );
  if (summary.hours.length > 0) lines.push('', ...hoursOf(summary.hours, fancy));
  for (const name of Object.keys(TITLES) as (keyof AuditSummary['by'])[]) {
    const counts = summary.by[name];
    if (counts.length > 0) lines.push('', TITLES[name], ...barsOf(counts, summary.requests, fancy));
  }
  return lines;
}

function barsOf(counts: readonly AuditCount[], total: number, fancy: boolean): readonly string[] {
  const max = Math.max(...counts.map(({ requests }) => requests));
  const rows = counts.map(({ name, requests }) => [
    `  ${printable(name)}`,
    String(requests),
    `${Math.round((requests / Math.max(1, total)) * 100)} %`,
    bar(requests, max, BAR_CHARS, fancy),
  ]);
  return grid(null, rows).rows;
}

/** Every hour from the first to the last has its place; where there are too many, several share one. */
function hoursOf(hours: AuditSummary['hours'], fancy: boolean): string[] {
  const first = hours[0]?.at ?? 0;
  const last = hours.at(-1)?.at ?? 0;
  const span = Math.round((last - first) / HOUR_MS) + 1;
  const each = Math.ceil(span / SPARK_CHARS);
  const values = new Array<number>(Math.ceil(span / each)).fill(0);
  for (const { at, requests } of hours) {
    const place = Math.floor(Math.round((at - first) / HOUR_MS) / each);
    values[place] = (values[place] ?? 0) + requests;
  }
  const unit = each === 1 ? 'hour' : `${each} hours`;
  return [
    `requests per ${unit}, at most ${Math.max(...values)}`,
    `  ${sparkline(values, fancy)}`,
    `  ${new Date(first).toISOString().slice(0, 16)}Z to ${new Date(last + HOUR_MS).toISOString().slice(0, 16)}Z`,
  ];
}

const msText = (ms: number): string => (ms < 10 ? `${Math.round(ms * 100) / 100} ms` : `${Math.round(ms)} ms`);

function sizeText(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let unit = 0;
  for (; value >= 1024 && unit < units.length - 1; unit += 1) value /= 1024;
  return `${unit === 0 ? value : Math.round(value * 10) / 10} ${units[unit]}`;
}
