/** `alterd policy diff`, `simulate` and `suggest`: what a change would do, and what the traffic of an agent needs, before it is made. */
import type { Command } from 'commander';
import { apiPath } from '../../api/client.ts';
import type { DiffView, SimulationView, SuggestionView } from '../../api/policies.ts';
import type { Cli } from '../cli.ts';
import { example } from '../define.ts';
import { parsePast } from '../duration.ts';
import { readSet } from './sources.ts';

const SETS = '"current", a version of `policy list --versions`, a file, or a directory';

export function defineForesight(command: Command, cli: Cli): void {
  const diff = command
    .command('diff <before> <after>')
    .description(`what the agents and grants that exist could newly do, or no longer (each is ${SETS})`);
  example(diff, 'alterd policy diff current ./policies').action(async (before: string, after: string) => {
    const body = { before: readSet(before), after: readSet(after) };
    showDiff(cli, await cli.client().send<DiffView>(apiPath('policies', 'diff'), body));
  });
  const simulate = command
    .command('simulate [set]')
    .description(`what a set would have said of the recorded requests (${SETS})`)
    .option('--since <when>', 'after a time, or that long ago', '24h')
    .option('--agent <name>', 'only the requests of this agent');
  example(simulate, 'alterd policy simulate ./policies --since 7d').action(
    async (set: string | undefined, flags: { since: string; agent?: string }) => {
      const body = { set: readSet(set ?? 'current'), since: parsePast(flags.since, '--since'), agent: flags.agent };
      showSimulation(cli, await cli.client().send<SimulationView>(apiPath('policies', 'simulate'), body));
    },
  );
  const suggest = command
    .command('suggest')
    .description('the narrowest policy that the recorded requests of an agent need')
    .requiredOption('--agent <name>', 'the agent')
    .option('--since <when>', 'after a time, or that long ago', '30d');
  example(suggest, 'alterd policy suggest --agent research-bot > research-bot.toml').action(
    async (flags: { agent: string; since: string }) => {
      const body = { agent: flags.agent, since: parsePast(flags.since, '--since') };
      showSuggestion(cli, await cli.client().send<SuggestionView>(apiPath('policies', 'suggest'), body), flags.agent);
    },
  );
}

function showDiff(cli: Cli, view: DiffView): void {
  if (cli.output.format !== 'table') {
    cli.output.record(view, []);
    return;
  }
  cli.output.list(
    view.rows,
    [
      { header: 'CHANGE', cell: (row) => `${row.widens ? '! ' : '  '}${row.change.replace('_', ' ')}` },
      { header: 'AGENT', cell: (row) => row.agent },
      { header: 'GRANT', cell: (row) => row.grant },
      { header: 'HOST', cell: (row) => row.host },
      { header: 'METHODS', cell: (row) => row.methods.join(',') },
      { header: 'PATH', cell: (row) => row.path },
      { header: 'RULES', cell: (row) => row.rules.join(',') },
    ],
    'Nothing changes for the agents and grants that exist.',
  );
  if (view.widens) cli.output.warn('the change widens what agents may do (rows with !)');
  if (view.is_cut) cli.output.warn('there are more combinations than were compared');
}

function showSimulation(cli: Cli, view: SimulationView): void {
  if (cli.output.format !== 'table') {
    cli.output.record(view, []);
    return;
  }
  cli.output.list(
    view.changes,
    [
      { header: 'WAS', cell: (row) => row.was },
      { header: 'WOULD BE', cell: (row) => row.would_be },
      { header: 'AGENT', cell: (row) => row.agent },
      { header: 'REQUEST', cell: (row) => `${row.method} ${row.host}${row.path}` },
      { header: 'RULES', cell: (row) => row.rules.join(',') },
      { header: 'TIMES', cell: (row) => row.requests },
      { header: 'ONE OF THEM', cell: (row) => row.request_id },
    ],
    'No verdict would be another one.',
  );
  const { allow, deny, limited, approval, undetermined } = view.verdicts;
  cli.output.note(
    `${view.requests} requests: ${allow} allowed, ${deny} denied, ${limited} limited, ${approval} held, ${undetermined} undetermined.`,
  );
  if (undetermined > 0)
    cli.output.note('Undetermined: a rule asks for a header, a value of the query or a body, which no row holds.');
}

function showSuggestion(cli: Cli, view: SuggestionView, agent: string): void {
  if (cli.output.format !== 'table') {
    cli.output.record(view, []);
    return;
  }
  cli.output.raw(view.toml);
  cli.output.note(`From ${view.requests} requests. It would still allow:`);
  for (const { method, host, path, seen, isWider } of view.allows)
    cli.output.note(`  ${method} ${host}${path}  (seen ${seen} times${isWider ? '; wider than what was seen' : ''})`);
  cli.output.hint(`Try it on what was recorded: \`alterd policy simulate FILE --agent ${agent}\`.`);
}
