/**
 * `alterd provider test`: does the stored credential work? One harmless GET through the running daemon under a grant that
 * exists, so that proxy, policy, injection and provider are all part of the answer. Must never make a grant to test with.
 */
import type { Command } from 'commander';
import type { CaView } from '../../api/ca.ts';
import { apiPath } from '../../api/client.ts';
import type { ProviderView } from '../../api/provider-view.ts';
import type { NewSessionView } from '../../api/sessions.ts';
import type { StatusView } from '../../api/status.ts';
import type { GrantView } from '../../api/views.ts';
import { AlterError } from '../../domain/errors.ts';
import type { Cli } from '../cli.ts';
import { example } from '../define.ts';
import { ExitStatus } from '../exit-codes.ts';
import { type ProbeTarget, sendProbe, verdictOf } from '../provider-probe.ts';

interface TestFlags {
  readonly agent?: string;
  readonly grant?: string;
  readonly path?: string;
}

const SESSION_TTL_MS = 120_000;

export function defineProviderTest(command: Command, cli: Cli): void {
  const test = command
    .command('test <provider>')
    .description('one harmless request with the stored secret, through the daemon and under a grant')
    .option('--agent <name>', "whose grant; needed for the system's")
    .option('--grant <id>', 'which grant, by id or label')
    .option('--path <path>', "another path than the provider file's");
  example(test, 'alterd provider test github').action(async (name: string, flags: TestFlags) => {
    const { provider } = await cli.client().read<{ provider: ProviderView }>(apiPath('providers', name));
    const grant = await grantFor(cli, provider, flags);
    const agent = grant.agent ?? flags.agent;
    if (agent === undefined)
      throw new AlterError('invalid_input', { problems: ['the grant is for every agent; say as which: --agent NAME'] });
    const target = targetOf(provider, grant, flags.path);
    const answer = await askAs(cli, agent, grant, target);
    const { verdict, because, next } = verdictOf(provider.slug, answer);
    cli.output.record(
      {
        provider: provider.slug,
        grant: grant.id,
        agent,
        url: `https://${target.host}${target.path}`,
        status: answer.status,
        verdict,
        because,
      },
      [
        ['provider', provider.slug],
        ['grant', grant.id],
        ['agent', agent],
        ['request', `GET https://${target.host}${target.path}`],
        ['status', answer.status],
        ['result', `${verdict}: ${because}`],
      ],
    );
    if (next !== null) cli.output.hint(next.replace('NAME', () => grant.credential));
    if (verdict !== 'pass') throw new ExitStatus(1);
  });
}

/** The one that is named, or the first that can be used. @throws AlterError not_found */
async function grantFor(cli: Cli, provider: ProviderView, flags: TestFlags): Promise<GrantView> {
  if (flags.grant !== undefined) return (await cli.client().read<{ grant: GrantView }>(apiPath('grants', flags.grant))).grant;
  const { grants } = await cli.client().read<{ grants: GrantView[] }>(apiPath('grants'));
  const usable = grants.filter(
    (grant) =>
      grant.provider === provider.slug &&
      grant.status === 'active' &&
      (flags.agent === undefined || grant.agent === null || grant.agent === flags.agent),
  );
  // A grant for git alone refuses every request of an API.
  const found = usable.find((grant) => grant.git === null) ?? usable[0];
  if (found !== undefined) return found;
  throw new AlterError(
    'not_found',
    { what: 'active grant of provider', name: provider.slug },
    { hint: `A test needs a grant: \`alterd grant create ${provider.slug} --agent ${flags.agent ?? 'NAME'}\`.` },
  );
}

/** @throws AlterError invalid_input */
function targetOf(provider: ProviderView, grant: GrantView, path: string | undefined): ProbeTarget {
  const { probe } = provider;
  const chosen = path ?? probe?.path;
  if (chosen === undefined)
    throw new AlterError(
      'invalid_input',
      { problems: [`the file of ${provider.slug} names no harmless request`] },
      { hint: `Name one yourself: \`alterd provider test ${provider.slug} --path /PATH\`.` },
    );
  if (!/^\/[!-~]*$/.test(chosen)) throw new AlterError('invalid_input', { problems: ['--path must begin with "/"'] });
  const hosts = grant.hosts.filter((host) => !host.includes('://') && !host.includes('*'));
  // The grant may name fewer hosts than the provider, or one of its own.
  const host = hosts.find((each) => probe !== null && templateOf(probe.host).test(each)) ?? hosts[0];
  if (host === undefined) throw new AlterError('invalid_input', { problems: ['the grant names no exact https host'] });
  return { host, path: chosen, headers: placeholders(grant) };
}

const templateOf = (host: string): RegExp =>
  new RegExp(
    `^${host
      .split(/\{[^}]*\}/)
      .map((part) => part.replace(/[.\\[\]]/g, '\\$&'))
      .join('.+')}$`,
  );

/** A grant that fills placeholders only has to be sent one. */
function placeholders(grant: GrantView): Record<string, string> {
  const { placeholder } = grant;
  if (grant.override !== 'placeholder_only' || placeholder === null) return {};
  const names = grant.injects.flatMap((text) => /^header (\S+)$/.exec(text)?.[1] ?? []);
  return Object.fromEntries(names.map((name) => [name, placeholder]));
}

/** With a session of its own, which needs none of the files that other clients do. @throws AlterError conflict */
async function askAs(cli: Cli, agent: string, grant: GrantView, target: ProbeTarget): ReturnType<typeof sendProbe> {
  const client = cli.client();
  const [status, ca] = await Promise.all([client.read<StatusView>(apiPath('status')), client.read<CaView>(apiPath('ca'))]);
  if (status.proxy.tcp === null)
    throw new AlterError(
      'conflict',
      { reason: 'the daemon listens on its Unix socket only' },
      { hint: 'Set listen.tcp = "127.0.0.1:4780" in the configuration and restart the daemon.' },
    );
  const options = { agent, grant_ids: [grant.id], ttl_ms: SESSION_TTL_MS, label: 'provider test' };
  const session = await client.send<NewSessionView>(apiPath('sessions'), options);
  const user = `${encodeURIComponent(session.proxy_user)}:${encodeURIComponent(session.key)}`;
  try {
    return await sendProbe(`http://${user}@${status.proxy.tcp}`, ca.pem, target);
  } finally {
    // It ends by itself within two minutes; whatever went wrong with the request matters more.
    await client.remove(apiPath('sessions', session.session_id)).catch(() => undefined);
  }
}
