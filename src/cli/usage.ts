/** What is said of a command line that commander can't read: its own words, then the one command that shows how it is written. */
import type { Command } from 'commander';

/** commander's text: `error: unknown command 'agnt'` and perhaps `(Did you mean agent?)`. */
export function explainedUsage(text: string, program: Command, argv: readonly string[]): { problem: string; hint: string } {
  const [first = '', ...more] = text.trim().split('\n');
  const problem = first.replace(/^error: /, '');
  const suggestion = more.join(' ').replace(/^\(|\)$/g, '');
  if (suggestion !== '') return { problem, hint: suggestion };
  const command = commandAt(program, argv);
  const path = pathOf(command);
  // Options of the command that is to be run were taken for ours.
  if (path === 'alterd run' && !argv.includes('--') && problem.startsWith('unknown option'))
    return { problem, hint: 'Put -- before the command: `alterd run --agent NAME -- COMMAND …`.' };
  const usage = command.commands.length > 0 ? '' : ` It is written: ${path} ${command.usage()}`;
  return { problem, hint: `See \`${path} --help\`.${usage}` };
}

/** The command that the words lead to, options and their values left out. */
function commandAt(program: Command, argv: readonly string[]): Command {
  let found = program;
  for (const word of argv) {
    const next = found.commands.find((each) => each.name() === word || each.aliases().includes(word));
    if (next !== undefined) found = next;
    else if (found !== program && !word.startsWith('-')) break;
  }
  return found;
}

function pathOf(command: Command): string {
  const names: string[] = [];
  for (let at: Command | null = command; at !== null; at = at.parent) names.unshift(at.name());
  return names.join(' ');
}
