/** `alterd policy`: rules that restrict what grants allow. The files of the policies directory and those of the API count alike. */
import type { Command } from 'commander';
import { apiPath } from '../../api/client.ts';
import type { PolicyVersionView, PolicyView } from '../../api/policies.ts';
import type { Cli } from '../cli.ts';
import { example } from '../define.ts';
import { defineChecks } from '../policy/checks.ts';
import { defineForesight } from '../policy/foresight.ts';
import { readSources } from '../policy/sources.ts';
import { defineExplain } from './explain.ts';

export function definePolicy(command: Command, cli: Cli): void {
  defineReading(command, cli);
  defineWriting(command, cli);
  defineChecks(command, cli);
  defineForesight(command, cli);
  const explain = command.command('explain').description('which rule decided a request, by what, and what would change it');
  defineExplain(explain, cli, 'alterd policy explain');
  example(command, 'alterd policy list');
}

function defineReading(command: Command, cli: Cli): void {
  const list = command
    .command('list')
    .description('the policies in force')
    .option('--versions', 'the sets that were in force, newest first');
  example(list, 'alterd policy list').action(async (flags: { versions?: boolean }) => {
    if (flags.versions === true) return listVersions(cli);
    const { policies } = await cli.client().read<{ policies: PolicyView[] }>(apiPath('policies'));
    cli.output.list(
      policies,
      [
        { header: 'POLICY', cell: (policy) => policy.name },
        { header: 'LAYER', cell: (policy) => policy.layer },
        { header: 'FOR', cell: (policy) => policy.targets.join(',') },
        { header: 'MODE', cell: (policy) => policy.mode },
        { header: 'RULES', cell: (policy) => policy.rules.length },
        { header: 'FROM', cell: (policy) => (policy.origin === 'file' ? policy.place : '(the API)') },
      ],
      'No policies: grants alone decide. `alterd policy add FILE` adds one.',
    );
  });
  const show = command.command('show <policy>').description('one policy, as it was written');
  example(show, 'alterd policy show office-hours').action(async (name: string) => {
    const answer = await cli.client().read<{ policy: PolicyView; toml: string }>(apiPath('policies', name));
    if (cli.output.format === 'table') cli.output.raw(answer.toml.endsWith('\n') ? answer.toml : `${answer.toml}\n`);
    else cli.output.record({ ...answer.policy, toml: answer.toml }, []);
  });
}

async function listVersions(cli: Cli): Promise<void> {
  const { versions } = await cli.client().read<{ versions: PolicyVersionView[] }>(apiPath('policies', 'versions'));
  cli.output.list(
    versions,
    [
      { header: 'VERSION', cell: (each) => each.version },
      { header: 'SINCE', cell: (each) => each.created_at },
      { header: 'POLICIES', cell: (each) => each.policies.join(',') },
      { header: 'DIGEST', cell: (each) => each.digest.slice(0, 12) },
    ],
    'There never was a policy.',
  );
}

function defineWriting(command: Command, cli: Cli): void {
  const add = command
    .command('add <file>')
    .description('put a policy in force ("-" for stdin)')
    .option('--replace', 'in place of the one of that name');
  example(add, 'alterd policy add ./office-hours.toml').action(async (file: string, flags: { replace?: boolean }) => {
    const toml = readSources(file).map((source) => source.toml)[0] ?? '';
    if (flags.replace === true) await cli.confirm('Replace the policy of that name?');
    const { policy } = await cli.client().send<{ policy: PolicyView }>(apiPath('policies'), { toml, replace: flags.replace });
    cli.output.record(policy, [
      ['policy', policy.name],
      ['layer', policy.layer],
      ['for', policy.targets.join(', ')],
      ['mode', policy.mode],
      ['rules', policy.rules.map((rule) => `${rule.name} (${rule.effect})`).join(', ')],
    ]);
    cli.output.hint('See what is denied by it: `alterd audit list --decision deny`.');
  });
  const remove = command.command('remove <policy>').description('take a policy of the API out of force');
  example(remove, 'alterd policy remove office-hours --yes').action(async (name: string) => {
    await cli.confirm(`Remove the policy ${name}? What it denied is allowed then.`);
    await cli.client().remove(apiPath('policies', name));
    cli.output.note(`Removed the policy ${name}.`);
    cli.output.hint('See what is left: `alterd policy list`.');
  });
}
