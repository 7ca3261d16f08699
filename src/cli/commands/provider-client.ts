/** `alterd provider client`: your own OAuth clients, registered at providers and kept here. Write-only: no command shows a secret. */
import type { Command } from 'commander';
import { apiPath } from '../../api/client.ts';
import type { ProviderClientView } from '../../api/provider-clients.ts';
import type { Cli } from '../cli.ts';
import { example } from '../define.ts';
import { type FieldSource, readFields } from '../secret-input.ts';

interface SetFlags {
  readonly clientId: string;
  readonly clientSecretStdin?: boolean;
  readonly clientSecretFile?: string;
  readonly public?: boolean;
}

const SECRET = { name: 'client_secret', label: 'Client secret', secret: true, pattern: null };

export function defineProviderClient(parent: Command, cli: Cli): void {
  const command = parent.command('client').description('your own OAuth clients at providers');
  const set = command
    .command('set <provider>')
    .description('register your client, in place of the one that is there')
    .requiredOption('--client-id <id>', 'as the provider shows it')
    .option('--client-secret-stdin', 'read the client secret from stdin')
    .option('--client-secret-file <path>', 'read the client secret from a file')
    .option('--public', 'the client has no secret');
  example(set, 'alterd provider client set github --client-id Iv1.0123 --client-secret-stdin < secret.txt').action(
    async (provider: string, flags: SetFlags) => {
      const { client } = await cli.client().send<{ client: ProviderClientView }>(apiPath('provider-clients'), {
        provider,
        client_id: flags.clientId,
        client_secret: flags.public === true ? null : await readSecret(flags),
      });
      cli.output.record(client, [
        ['provider', client.provider],
        ['client id', client.client_id],
      ]);
      cli.output.hint(`Next: \`alterd connect ${client.provider} --agent NAME\`.`);
    },
  );
  const list = command.command('list').description('all of them, without their secrets');
  example(list, 'alterd provider client list').action(async () => {
    const { clients } = await cli.client().read<{ clients: ProviderClientView[] }>(apiPath('provider-clients'));
    cli.output.list(
      clients,
      [
        { header: 'PROVIDER', cell: (client) => client.provider },
        { header: 'CLIENT ID', cell: (client) => client.client_id },
        { header: 'SINCE', cell: (client) => client.created_at },
      ],
      'No clients yet: `alterd provider client set PROVIDER --client-id ID` registers one.',
    );
  });
  const remove = command.command('remove <provider>').description('forget a client; its accounts can no longer be renewed');
  example(remove, 'alterd provider client remove github --yes').action(async (provider: string) => {
    await cli.confirm(`Forget the client of ${provider}? Accounts that were connected with it can no longer be renewed.`);
    await cli.client().remove(apiPath('provider-clients', provider));
    cli.output.note(`Removed the client of ${provider}.`);
    cli.output.hint('Delete it at the provider too, when it is not used elsewhere.');
  });
  example(command, 'alterd provider client list');
}

async function readSecret(flags: SetFlags): Promise<string> {
  const plan = new Map<string, FieldSource>();
  if (flags.clientSecretFile !== undefined) plan.set(SECRET.name, { from: 'file', path: flags.clientSecretFile });
  else if (flags.clientSecretStdin === true) plan.set(SECRET.name, { from: 'stdin' });
  return (await readFields([SECRET], plan)).client_secret!;
}
