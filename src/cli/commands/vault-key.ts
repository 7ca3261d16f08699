/** `alterd vault rotate-key`: another master key in the place of the one in force. The keys themselves never pass through here. */
import type { Command } from 'commander';
import { apiPath } from '../../api/client.ts';
import type { RotationView } from '../../api/master-key.ts';
import type { Cli } from '../cli.ts';
import { example } from '../define.ts';

export function defineVaultKey(command: Command, cli: Cli): void {
  const rotate = command
    .command('rotate-key')
    .description('replace the master key of this installation, while it runs')
    .option(
      '--reseal',
      'seal every secret anew as well, when somebody may know the key of before and have a copy of the database',
    )
    .option('--stage', 'only make the next key, so that other replicas can be given it before');
  example(rotate, 'alterd vault rotate-key --yes').action(async (flags: { stage?: boolean; reseal?: boolean }) => {
    const stage = flags.stage === true;
    const reseal = flags.reseal === true && !stage;
    if (!stage) await cli.confirm('Replace the master key? Keep a copy of the new one: that of before opens nothing any more.');
    const report = await cli.client().send<RotationView>(apiPath('master-key', 'rotate'), { stage, reseal });
    cli.output.record(report, [
      ['outcome', report.outcome],
      ['kept in', report.source],
      ['check value', report.check],
      ['in force since', report.since],
      ['secrets', report.secrets_resealed ? 'sealed anew' : 'sealed as before, by data keys that the new key wraps'],
      ...(report.waits_in === null ? [] : [['next key', report.waits_in] as [string, string]]),
    ]);
    for (const step of report.left_to_do) cli.output.hint(step);
    for (const hint of HINTS[report.outcome]) cli.output.hint(hint);
  });
}

const HINTS: Readonly<Record<RotationView['outcome'], readonly string[]>> = {
  staged: ['The one of before is still in force. Put the next one in force, at one replica: `alterd vault rotate-key`.'],
  rotated: ['Backups of before still open with the key of before: keep or destroy them together.'],
  finished: ['An earlier rotation is complete now. For another key run the command again.'],
};
