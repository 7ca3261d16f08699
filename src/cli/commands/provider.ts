/** `alterd provider`: the catalogue, and files of one's own in the same format. */
import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { apiPath } from '../../api/client.ts';
import type { ProviderView } from '../../api/provider-view.ts';
import { AlterError } from '../../domain/errors.ts';
import type { Cli } from '../cli.ts';
import { example } from '../define.ts';
import { defineProviderClient } from './provider-client.ts';
import { showProvider, sourceOf } from './provider-show.ts';
import { defineProviderTest } from './provider-test.ts';

export function defineProvider(command: Command, cli: Cli): void {
  defineReading(command, cli);
  defineWriting(command, cli);
  defineProviderTest(command, cli);
  defineProviderClient(command, cli);
  example(command, 'alterd provider show github');
}

const KINDS = { static: 'static', oauth: 'OAuth', both: 'static, OAuth' } as const;

function defineReading(command: Command, cli: Cli): void {
  const list = command.command('list').description('every provider that can be used');
  example(list, 'alterd provider list').action(async () => {
    const { providers, problems } = await cli
      .client()
      .read<{ providers: ProviderView[]; problems: string[] }>(apiPath('providers'));
    cli.output.list(
      providers,
      [
        { header: 'PROVIDER', cell: (provider) => provider.slug },
        { header: 'NAME', cell: (provider) => provider.name },
        { header: 'KIND', cell: (provider) => KINDS[provider.ways] },
        { header: 'HOSTS', cell: (provider) => provider.hosts.join(',') },
        { header: 'FROM', cell: sourceOf },
      ],
      'No providers.',
    );
    for (const problem of problems) cli.output.warn(problem);
  });
  const show = command.command('show <provider>').description('hosts, fields and where the secret goes');
  example(show, 'alterd provider show github').action(async (slug: string) => {
    const { provider } = await cli.client().read<{ provider: ProviderView }>(apiPath('providers', slug));
    showProvider(cli, provider);
    cli.output.hint(nextStep(provider));
  });
}

function defineWriting(command: Command, cli: Cli): void {
  const add = command
    .command('add <file>')
    .description('take over a provider file of your own ("-" for stdin)')
    .option('--replace', 'in place of the one that is there');
  example(add, 'alterd provider add ./acme.toml').action(async (file: string, flags: { replace?: boolean }) => {
    const toml = readDocument(file);
    if (flags.replace === true) await cli.confirm('Replace the provider file? Grants that exist keep their hosts.');
    const { provider } = await cli
      .client()
      .send<{ provider: ProviderView }>(apiPath('providers'), { toml, replace: flags.replace });
    showProvider(cli, provider);
    cli.output.hint(nextStep(provider));
  });
  const validate = command.command('validate <file>').description('check a provider file; every problem at once');
  example(validate, 'alterd provider validate ./acme.toml').action(async (file: string) => {
    const { provider } = await cli
      .client()
      .send<{ provider: ProviderView }>(apiPath('providers', 'validate'), { toml: readDocument(file) });
    showProvider(cli, provider);
    cli.output.hint(`It is right. Take it over: \`alterd provider add ${file}\`.`);
  });
}

function nextStep({ kind, slug, fields, oauth }: ProviderView): string {
  if (kind !== 'oauth') return `Store a secret for it: \`alterd secret add ${slug}\`.`;
  const needed = fields.filter((field) => field.optional !== true).map((field) => ` --field ${field.name}=…`);
  if (oauth?.own_client === true)
    return `Connect it: \`alterd connect ${slug} --agent NAME --client-credentials --client-id ID${needed.join('')}\`.`;
  return `Connect an account: \`alterd provider client set ${slug} --client-id ID\`, then \`alterd connect ${slug} --agent NAME\`.`;
}

function readDocument(file: string): string {
  try {
    return readFileSync(file === '-' ? 0 : file, 'utf8');
  } catch (error) {
    throw new AlterError('invalid_input', {
      problems: [`${file} can't be read (${(error as NodeJS.ErrnoException).code ?? 'unknown error'})`],
    });
  }
}
