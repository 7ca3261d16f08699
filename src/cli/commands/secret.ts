/**
 * `alterd secret`: credentials that alterd keeps and injects. Write-only: no command shows one.
 * Values come from a hidden prompt, stdin, a file or a file descriptor, never from the command line.
 */
import type { Command } from 'commander';
import { apiPath } from '../../api/client.ts';
import type { ProviderView } from '../../api/provider-view.ts';
import type { SecretView } from '../../api/views.ts';
import { AlterError } from '../../domain/errors.ts';
import { requireNone, secretNameIsTaken, slugProblem } from '../../vault/names.ts';
import type { Cli } from '../cli.ts';
import { customInjection, KINDS, type SecretKind } from '../custom-secret.ts';
import { collect, collectList, example } from '../define.ts';
import { type FlagWords, inFlags } from '../flag-words.ts';
import { meant, namesIn, nearestOf } from '../nearest.ts';
import {
  importRefreshToken,
  type RefreshTokenFlags,
  takesRefreshToken,
  withRefreshTokenField,
  withRefreshTokenOptions,
} from '../refresh-token-import.ts';
import { type FieldFlags, planFields, readFields } from '../secret-input.ts';
import { readSources, type SourceFlags } from '../secret-sources.ts';

type Field = ProviderView['fields'][number];

interface AddFlags extends FieldFlags, SourceFlags, RefreshTokenFlags {
  readonly name?: string;
  readonly host?: readonly string[];
  readonly kind?: SecretKind;
  readonly header?: string;
  readonly template?: string;
}

export function defineSecret(command: Command, cli: Cli): void {
  defineAdd(command, cli);
  defineReading(command, cli);
  defineRotate(command, cli);
  defineRemove(command, cli);
  example(command, 'alterd secret add github --token-stdin < token.txt');
}

/** The ways in which a value may come. `--FIELD-file` and `--FIELD-stdin` are read by planFields, since fields differ. */
function withFieldOptions(command: Command): Command {
  return command
    .option('--token-stdin', 'read the secret from stdin')
    .option('--field-file <name=path>', 'read a field from a file; also --NAME-file PATH', collect)
    .option('--field-fd <name=fd>', 'read a field from a file descriptor', collect)
    .option('--field <name=value>', 'a field that is no secret, such as a site or an account id', collect)
    .allowUnknownOption()
    .allowExcessArguments();
}

function defineAdd(command: Command, cli: Cli): void {
  const add = command
    .command('add <provider>')
    .description('store a secret of a known provider, or of any host with --host')
    .option('--name <name>', "name of the secret (default: the provider's)")
    .option('--host <host>', 'where it may go: HOST or HOST:PORT; repeatable', collectList)
    .option('--kind <kind>', `for a provider that alterd does not know: ${KINDS.join(', ')}`)
    .option('--header <name>', 'name of the header, query parameter or cookie for --kind')
    .option('--template <text>', 'how the value is written there, such as "Token {token}"')
    .option(
      '--from <[field=]source>',
      'fetch it when it is needed: file:PATH, env:NAME, command:[…], vault:URL; repeatable',
      collect,
    )
    .option('--lifetime <duration>', 'how long a fetched value is used (default: 5m)');
  withRefreshTokenOptions(add);
  example(withFieldOptions(add), 'alterd secret add github --token-stdin < token.txt').action(
    async (slug: string, flags: AddFlags) => {
      const provider = await findProvider(cli, slug);
      const rest = add.args.slice(1);
      if (takesRefreshToken(provider, flags)) return importRefreshToken(cli, slug, flags, rest);
      requireNone([flags.name === undefined ? undefined : slugProblem('--name', flags.name)]);
      if (provider === null && flags.host === undefined) await requireKnown(cli, slug);
      const custom = provider === null || flags.kind !== undefined ? customInjection(slug, flags) : null;
      const fields = custom?.fields ?? provider?.fields ?? [];
      const sources = readSources(fields, flags);
      const asked = fields.filter((field) => sources?.fields[field.name] === undefined);
      const plan = planFields(asked, flags, withRefreshTokenField(flags, rest));
      // Before anybody types a secret for nothing.
      await requireFreeName(cli, flags.name ?? provider?.slug ?? slug);
      const body = {
        provider: provider?.slug ?? slug,
        name: flags.name,
        fields: await readFields(asked, plan),
        sources,
        hosts: flags.host,
        ...(custom === null ? {} : { kind: custom.kind, inject: custom.inject }),
      };
      const next = provider === null ? undefined : `See what it expects: \`alterd provider show ${provider.slug}\`.`;
      const added = cli.client().send<{ secret: SecretView }>(apiPath('secrets'), body);
      const { secret } = await inFlags(SECRET_WORDS, added, next);
      showSecret(cli, secret);
      cli.output.hint(`Next: \`alterd agent create NAME\`, then \`alterd grant create ${secret.name} --agent NAME\`.`);
    },
  );
}

const SECRET_WORDS: FlagWords = { name: '--name', hosts: '--host', inject: '--header', sources: '--from', provider: 'PROVIDER' };

/** @throws AlterError invalid_input when another provider may be meant */
async function requireKnown(cli: Cli, slug: string): Promise<void> {
  const suggestion = meant(nearestOf(slug, await namesIn(cli, 'providers', 'slug')));
  if (suggestion === null) return;
  throw new AlterError(
    'invalid_input',
    { problems: [`there is no provider ${JSON.stringify(slug)} in the catalogue`] },
    { hint: `${suggestion} If not, say where the secret may go: \`alterd secret add ${slug} --host HOST\`.` },
  );
}

/** @throws AlterError conflict */
async function requireFreeName(cli: Cli, name: string): Promise<void> {
  const { secrets } = await cli.client().read<{ secrets: SecretView[] }>(apiPath('secrets'));
  const taken = secrets.find((secret) => secret.name === name);
  if (taken !== undefined) throw secretNameIsTaken({ name, providerId: taken.provider, isAccount: taken.oauth !== null });
}

async function findProvider(cli: Cli, slug: string): Promise<ProviderView | null> {
  try {
    return (await cli.client().read<{ provider: ProviderView }>(apiPath('providers', slug))).provider;
  } catch (error) {
    if (error instanceof AlterError && error.code === 'not_found') return null;
    throw error;
  }
}

function defineReading(command: Command, cli: Cli): void {
  const list = command.command('list').description('all secrets, without their values');
  example(list, 'alterd secret list').action(async () => {
    const { secrets } = await cli.client().read<{ secrets: SecretView[] }>(apiPath('secrets'));
    cli.output.list(
      secrets,
      [
        { header: 'NAME', cell: (secret) => secret.name },
        { header: 'PROVIDER', cell: (secret) => secret.provider },
        { header: 'KIND', cell: (secret) => secret.kind },
        { header: 'VERSION', cell: (secret) => secret.version },
        { header: 'CREATED', cell: (secret) => secret.created_at },
        { header: 'LAST USED', cell: (secret) => secret.last_used_at },
      ],
      'No secrets yet: `alterd secret add PROVIDER` stores one; `alterd provider list` shows the providers.',
    );
  });
  const show = command.command('show <secret>').description('what is known of a secret; never its value');
  example(show, 'alterd secret show github').action(async (name: string) => {
    const answer = await cli
      .client()
      .read<{ secret: SecretView; grants: { id: string; label: string; status: string }[] }>(apiPath('secrets', name));
    const { secret } = answer;
    cli.output.record(answer, [
      ['secret', secret.name],
      ['id', secret.id],
      ['provider', secret.provider],
      ['kind', secret.kind],
      ['fields', secret.fields.join(', ')],
      ...Object.entries(secret.sources ?? {}).map(([field, source]): [string, string] => ['source', `${field}  ${source}`]),
      ['version', secret.version],
      ['created', secret.created_at],
      ['rotated', secret.rotated_at],
      ['last used', secret.last_used_at],
      ...answer.grants.map((grant): [string, string] => ['grant', `${grant.id}  ${grant.status}  ${grant.label}`.trimEnd()]),
    ]);
  });
}

function defineRotate(command: Command, cli: Cli): void {
  const rotate = command.command('rotate <secret>').description('give a secret a new value; its grants stay as they are');
  example(withFieldOptions(rotate), 'alterd secret rotate github --token-stdin < token.txt').action(
    async (name: string, flags: FieldFlags) => {
      const { secret } = await cli.client().read<{ secret: SecretView }>(apiPath('secrets', name));
      const provider = await findProvider(cli, secret.provider);
      const known = (field: string): Field | undefined => provider?.fields.find((each) => each.name === field);
      // Fields that are no secret are part of the grants' hosts: they stay.
      const fields = secret.fields
        .map((field): Field => known(field) ?? { name: field, label: field, secret: true, pattern: null })
        .filter((field) => field.secret && secret.sources?.[field.name] === undefined);
      const values = await readFields(fields, planFields(fields, flags, rotate.args.slice(1)));
      const rotated = cli.client().send<{ secret: SecretView }>(apiPath('secrets', name, 'rotate'), { fields: values });
      const answer = await inFlags(SECRET_WORDS, rotated);
      showSecret(cli, answer.secret);
      cli.output.hint('The next request uses it. See it at work: `alterd audit tail`.');
    },
  );
}

function defineRemove(command: Command, cli: Cli): void {
  const remove = command
    .command('remove <secret>')
    .description('forget a secret')
    .option('--cascade', 'with the grants that use it');
  example(remove, 'alterd secret remove github --cascade --yes').action(async (name: string, flags: { cascade?: boolean }) => {
    const { secret, grants } = await cli
      .client()
      .read<{ secret: SecretView; grants: { status: string }[] }>(apiPath('secrets', name));
    const active = grants.filter((grant) => grant.status === 'active').length;
    await cli.confirm(
      `Remove the secret ${secret.name}${active > 0 ? `, used by ${active} grant(s)` : ''}? Its value can't be brought back.`,
    );
    await cli.client().remove(apiPath('secrets', secret.id), { cascade: flags.cascade });
    cli.output.note(`Removed the secret ${secret.name}.`);
    cli.output.hint('Revoke it at the provider too, when it is not used elsewhere.');
  });
}

function showSecret(cli: Cli, secret: SecretView): void {
  cli.output.record(secret, [
    ['secret', secret.name],
    ['provider', secret.provider],
    ['fields', secret.fields.join(', ')],
    ['version', secret.version],
  ]);
}
