/** `alterd completion`: a completion script for a shell, made from the command tree. */
import type { Command } from 'commander';
import { AlterError } from '../../domain/errors.ts';
import type { Cli } from '../cli.ts';
import { completionScript, SHELLS, treeOf } from '../completion.ts';
import { example } from '../define.ts';

export function defineCompletion(command: Command, cli: Cli): void {
  command.argument('<shell>', SHELLS.join(', '));
  example(command, 'source <(alterd completion bash)').action(async (shell: string) => {
    const known = SHELLS.find((each) => each === shell);
    if (known === undefined) throw new AlterError('invalid_input', { problems: [`the shell is one of ${SHELLS.join(', ')}`] });
    cli.output.raw(completionScript(known, treeOf(await cli.wholeTree())));
  });
}
