/** `alterd kill`: ends a grant, an agent, a user or a host at once, wherever it is in use. */
import { Argument, type Command } from 'commander';
import { apiPath } from '../../api/client.ts';
import type { Killable, KilledView } from '../../api/kill.ts';
import type { Cli } from '../cli.ts';
import { example } from '../define.ts';

const KINDS: readonly Killable[] = ['grant', 'agent', 'user', 'host'];

/** How to go on from here; what was ended never comes back by itself. */
const NEXT: Readonly<Record<Killable, (name: string) => string>> = {
  grant: () => 'A new one: `alterd grant create PROVIDER --agent NAME`.',
  agent: () => 'A new one has another name: `alterd agent create NAME`.',
  user: (name) => `Let the user in again: \`alterd user activate ${name}\`.`,
  host: (name) => `Forget it: \`alterd vault host remove ${name}\`. A new one has to be invited.`,
};

export function defineKill(command: Command, cli: Cli): void {
  command.addArgument(new Argument('<what>', 'what it is').choices(KINDS)).argument('<name>', 'its name, label or id');
  example(command, 'alterd kill agent research-bot --yes').action(async (kind: Killable, name: string) => {
    await cli.confirm(`End the ${kind} ${name} at once, with everything that is under way?`);
    const { killed } = await cli.client().send<{ killed: KilledView }>(apiPath('kill'), { kind, name });
    cli.output.record(killed, [
      [killed.kind, killed.name],
      ['id', killed.id],
      ['status', killed.status],
    ]);
    cli.output.hint(NEXT[kind](killed.name));
  });
}
