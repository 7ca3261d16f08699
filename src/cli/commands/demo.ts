/** `alterd demo`: the whole thing on loopback, with throw-away parts. */
import type { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { example } from '../define.ts';

export function defineDemo(command: Command, cli: Cli): void {
  example(command, 'alterd demo').action(async () => {
    const { runDemo } = await import('../../demo.ts');
    await runDemo({ output: cli.output });
  });
}
