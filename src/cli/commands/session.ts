/** `alterd session`: the short-lived keys of `alterd run` and `alterd env`. */
import type { Command } from 'commander';
import { apiPath } from '../../api/client.ts';
import type { SessionView } from '../../api/views.ts';
import type { Cli } from '../cli.ts';
import { example } from '../define.ts';

export function defineSession(command: Command, cli: Cli): void {
  const list = command.command('list').description('sessions that are good now');
  example(list, 'alterd session list').action(async () => {
    const { sessions } = await cli.client().read<{ sessions: SessionView[] }>(apiPath('sessions'));
    cli.output.list(
      sessions,
      [
        { header: 'ID', cell: (session) => session.session_id },
        { header: 'AGENT', cell: (session) => session.agent },
        { header: 'USER', cell: (session) => session.user_id },
        { header: 'LABEL', cell: (session) => session.label },
        { header: 'DENIED', cell: (session) => deniedText(session) },
        { header: 'STARTED', cell: (session) => session.created_at },
        { header: 'ENDS', cell: (session) => session.expires_at },
      ],
      'No sessions now.',
    );
  });
  const revoke = command.command('revoke <session>').description('end a session at once');
  example(revoke, 'alterd session revoke 8c2f3f4e-1d5b-4a53-9f0e-3b3d0f7a1c55').action(async (id: string) => {
    await cli.client().remove(apiPath('sessions', id));
    cli.output.note('The session is revoked.');
    cli.output.hint('See what is left: `alterd session list`.');
  });
  example(command, 'alterd session list');
}

const deniedText = (session: SessionView): string =>
  [
    ...session.denied_methods.map((method) => `method=${method}`),
    ...session.denied_paths.map((path) => `path=${path}`),
    ...session.denied_hosts.map((host) => `host=${host}`),
  ].join(' ');
