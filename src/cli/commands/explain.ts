/** `alterd explain`: why one request went as it did, and what would change it. */
import type { Command } from 'commander';
import { apiPath } from '../../api/client.ts';
import type { ExplainView } from '../../api/explain.ts';
import type { Cli } from '../cli.ts';
import { example } from '../define.ts';
import { printable } from '../table.ts';

const COLOURS = {
  allowed: 'green',
  recorded: 'green',
  tunnelled: 'yellow',
  open: 'yellow',
  refused: 'red',
  failed: 'red',
} as const;

/** @param words what leads to the command, for its example */
export function defineExplain(command: Command, cli: Cli, words = 'alterd explain'): void {
  command.argument('<request-id>', 'the id in the refusal, in the header Alter-Request-Id, or in `alterd audit tail`');
  example(command, `${words} req_01hzy3k9x2`).action(async (id: string) => {
    const answer = await cli.client().read<ExplainView>(apiPath('explain', id));
    if (cli.output.format !== 'table') return cli.output.record(answer, []);
    const { entry, verdict, why, fix } = answer;
    const colour = COLOURS[verdict as keyof typeof COLOURS] ?? 'bold';
    const lines = [
      `${cli.output.paint(colour, verdict.toUpperCase(), 'stdout')}  ${printable(entry.request_id)}  ${entry.at}`,
      ...why.map((line) => `  ${printable(line)}`),
      ...(fix.length === 0 ? [] : ['', 'What to do:', ...fix.map((line) => `  ${printable(line)}`)]),
    ];
    cli.output.raw(`${lines.join('\n')}\n`);
  });
}
