/** `alterd grant`: which agent may call what with which secret. */
import { type Command, Option } from 'commander';
import { apiPath } from '../../api/client.ts';
import type { OverlapView } from '../../api/grants.ts';
import type { GrantView, SecretView } from '../../api/views.ts';
import { AlterError } from '../../domain/errors.ts';
import type { OperationRule } from '../../domain/operation-rule.ts';
import type { Cli } from '../cli.ts';
import { collectList, example } from '../define.ts';
import { parseFuture } from '../duration.ts';
import { inFlags } from '../flag-words.ts';
import {
  BODY_WORDS,
  type BodyFlags,
  bodiesOf,
  GRANT_WORDS,
  type LeaseFlags,
  leaseOf,
  OVERRIDE_WORDS,
  overrideOf,
  type PinFlags,
  pinsOf,
} from '../grant-flags.ts';
import { tellOverlaps } from '../grant-overlaps.ts';
import { isLost, nameOf, ownerText, showGrant } from '../grant-text.ts';
import { defineGrantUpdate } from './grant-update.ts';

interface CreateFlags extends LeaseFlags, PinFlags, BodyFlags {
  readonly agent?: string;
  readonly user?: string;
  readonly group?: string;
  readonly issuer?: string;
  readonly system?: boolean;
  readonly secret?: string;
  readonly label?: string;
  readonly host?: readonly string[];
  readonly methods?: readonly string[];
  readonly paths?: readonly string[];
  readonly graphql?: readonly string[];
  readonly graphqlAt?: readonly string[];
  readonly rpc?: readonly string[];
  readonly rpcAt?: readonly string[];
  readonly approval?: readonly string[];
  readonly git?: string;
  readonly expires?: string;
  readonly override?: string;
  readonly allowPrivate?: boolean;
  readonly allowPlaintext?: boolean;
  readonly passCookies?: boolean;
}

export function defineGrant(command: Command, cli: Cli): void {
  defineCreate(command, cli);
  defineGrantUpdate(command, cli);
  defineReading(command, cli);
  defineEnding(command, cli);
  example(command, "alterd grant create github --agent research-bot --methods GET --paths '/user,/repos/**'");
}

function defineCreate(command: Command, cli: Cli): void {
  const create = command
    .command('create <provider>')
    .description('let an agent call a provider; PROVIDER is a provider or the name of a secret')
    .option('--agent <name>', 'who may use it')
    .option('--user <user>', 'this user owns it, and delegates it to agents: an id, an e-mail or a subject')
    .option('--group <name>', 'this group owns it, and its members use it through agents it is delegated to')
    .option('--issuer <name>', 'whose group, when several issuers are configured')
    .option('--system', 'every active agent may use it')
    .option('--secret <name>', 'which secret, when the provider has several')
    .option('--label <text>', 'a name of its own, to pick it by')
    .option('--host <list>', "fewer hosts than the provider's, or another port: HOST or HOST:PORT", collectList)
    .option('--methods <list>', 'only these methods, such as GET,HEAD', collectList)
    .option('--paths <list>', "only these paths, such as '/user,/repos/**'", collectList)
    .option('--graphql <list>', 'only these GraphQL operations: query, mutation:createIssue, … (by root field)', collectList)
    .option('--graphql-at <list>', 'the paths that --graphql is about; every request otherwise', collectList)
    .option('--rpc <list>', "only these JSON-RPC or MCP calls: tools/list, tools/call:search, 'eth_*', …", collectList)
    .option('--rpc-at <list>', 'the paths that --rpc is about; every request otherwise', collectList)
    .option('--approval <list>', "requests of these methods wait until a person approves them: POST,DELETE, or '*'", collectList)
    .addOption(
      new Option('--git <access>', 'for git alone: clone and fetch (read), or push as well (write)').choices(['read', 'write']),
    )
    .option('--expires <when>', 'a duration (30d) or a time (2031-01-31T12:00:00Z)')
    .addOption(new Option('--override <mode>', 'what happens to a value that the client sent itself').choices(OVERRIDE_WORDS))
    .option('--aws-region <region>', 'requests that are signed for AWS: for this region alone')
    .option('--aws-service <name>', 'and for this service alone, such as s3')
    .option('--allow-private', 'the host may have a private or loopback address')
    .option('--allow-plaintext', 'the secret may go out over http://')
    .option('--pass-cookies', "the agent gets the provider's cookies, which may be as good as the secret")
    .option('--no-cache', 'hosts of a central vault ask for the secret each time, and keep nothing of it')
    .option('--offline-grace <duration>', "how long they may use it after their lease, while the vault can't be reached")
    .addOption(
      new Option('--audit-bodies <which>', 'keep bodies beside the audit rows, encrypted and redacted').choices(BODY_WORDS),
    )
    .option('--audit-body-bytes <count>', 'how much of each body, such as 64KiB (16KiB unless said, 256KiB at most)');
  example(create, "alterd grant create github --agent research-bot --methods GET --paths '/user,/repos/**'").action(
    async (provider: string, flags: CreateFlags) => {
      const owners = [flags.agent, flags.user, flags.group, flags.system === true ? '' : undefined];
      if (owners.filter((owner) => owner !== undefined).length !== 1) {
        throw new AlterError(
          'invalid_input',
          { problems: ['say whose it is: one of --agent NAME, --user USER, --group NAME and --system'] },
          { hint: `For example: \`alterd grant create ${provider} --agent research-bot\`; the agents: \`alterd agent list\`.` },
        );
      }
      const made = cli.client().send<{ grant: GrantView; overlaps: OverlapView[] }>(apiPath('grants'), {
        ...(await target(cli, provider, flags.secret)),
        agent: flags.agent,
        user: flags.user,
        group: flags.group,
        issuer: flags.issuer,
        system: flags.system,
        label: flags.label,
        hosts: flags.host,
        methods: flags.methods,
        paths: flags.paths,
        operations: operationsOf(flags),
        approval: flags.approval,
        git: flags.git,
        expires_at: flags.expires === undefined ? undefined : parseFuture(flags.expires, '--expires'),
        override: overrideOf(flags.override),
        allow_private: flags.allowPrivate,
        allow_plaintext: flags.allowPlaintext,
        pass_response_cookies: flags.passCookies,
        ...pinsOf(flags),
        ...leaseOf(flags),
        ...bodiesOf(flags),
      });
      const { grant, overlaps } = await inFlags(GRANT_WORDS, made);
      showGrant(cli, grant);
      tellOverlaps(cli, grant, overlaps);
      const isOfPeople = grant.principal === 'user' || grant.principal === 'group';
      cli.output.hint(isOfPeople ? `Next: \`alterd delegate ${grant.id} --agent NAME\`.` : `Next: \`${trial(grant)}\`.`);
    },
  );
}

function operationsOf({ graphql, graphqlAt, rpc, rpcAt }: CreateFlags): OperationRule[] | undefined {
  const lonely = [
    graphqlAt !== undefined && graphql === undefined ? 'graphql' : null,
    rpcAt !== undefined && rpc === undefined ? 'rpc' : null,
  ];
  const problems = lonely.flatMap((name) => (name === null ? [] : [`--${name}-at has no meaning without --${name}`]));
  if (problems.length > 0) throw new AlterError('invalid_input', { problems });
  const rules: OperationRule[] = [
    ...(graphql === undefined ? [] : [{ kind: 'graphql', at: graphqlAt ?? null, allow: graphql } as const]),
    ...(rpc === undefined ? [] : [{ kind: 'json_rpc', at: rpcAt ?? null, allow: rpc } as const]),
  ];
  return rules.length === 0 ? undefined : rules;
}

/** A secret by its exact name, a provider with one secret, or what the daemon makes of it (and says what is missing). */
async function target(cli: Cli, word: string, secret: string | undefined): Promise<{ provider?: string; credential?: string }> {
  if (secret !== undefined) return { provider: word, credential: secret };
  const { secrets } = await cli.client().read<{ secrets: SecretView[] }>(apiPath('secrets'));
  const named = secrets.find((each) => each.name === word);
  const others = secrets.filter((each) => each.provider === word && each !== named).map((each) => each.name);
  if (named === undefined) return { provider: word };
  if (named.provider !== word && others.length > 0)
    throw new AlterError('conflict', {
      reason: `"${word}" is a secret of ${named.provider}, and a provider with the secret ${others.join(', ')}`,
      hint: `Say which: \`alterd grant create ${named.provider} --secret ${word} …\` or \`alterd grant create ${word} --secret ${others[0]} …\`.`,
    });
  if (others.length > 0) cli.output.note(`It is for the secret ${word}; for ${others.join(' or ')} say --secret NAME.`);
  return { credential: word };
}

function trial(grant: GrantView): string {
  if (grant.git !== null)
    return `alterd run --agent ${grant.agent ?? 'NAME'} -- git ls-remote https://${grant.hosts[0] ?? 'HOST'}/OWNER/REPOSITORY.git`;
  const host = grant.hosts.find((each) => !each.includes('*')) ?? 'HOST';
  const path = grant.paths?.find((each) => !each.includes('*')) ?? '/';
  const url = host.includes('://') ? `${host}${path}` : `https://${host}${path}`;
  return `alterd run --agent ${grant.agent ?? 'NAME'} -- curl -s ${url}`;
}

function defineReading(command: Command, cli: Cli): void {
  const list = command.command('list').description('all grants').option('--agent <name>', 'only those that this agent may use');
  example(list, 'alterd grant list --agent research-bot').action(async (flags: { agent?: string }) => {
    const { grants } = await cli.client().read<{ grants: GrantView[] }>(apiPath('grants'));
    cli.output.list(
      grants.filter((grant) => flags.agent === undefined || grant.principal === 'system' || grant.agent === flags.agent),
      [
        { header: 'ID', cell: (grant) => grant.id },
        { header: 'LABEL', cell: (grant) => grant.label },
        { header: 'OWNER', cell: ownerText },
        { header: 'SECRET', cell: (grant) => grant.credential },
        { header: 'ACCOUNT', cell: (grant) => grant.oauth?.account_name ?? grant.oauth?.account_id },
        { header: 'HOSTS', cell: (grant) => grant.hosts.join(',') },
        {
          header: 'METHODS',
          cell: (grant) =>
            (grant.git === null ? '' : `git ${grant.git} `) + (grant.methods?.join(',') ?? (grant.git === null ? 'any' : '')),
        },
        { header: 'PATHS', cell: (grant) => grant.paths?.join(',') ?? 'any' },
        { header: 'STATUS', cell: (grant) => (isLost(grant) ? 'connect again' : grant.status) },
      ],
      'No grants: `alterd grant create PROVIDER --agent NAME` makes one.',
    );
  });
  const show = command.command('show <grant>').description('one grant, by its id or label');
  example(show, 'alterd grant show github-read').action(async (id: string) => {
    showGrant(cli, (await cli.client().read<{ grant: GrantView }>(apiPath('grants', id))).grant);
  });
}

function defineEnding(command: Command, cli: Cli): void {
  const revoke = command.command('revoke <grant>').description('end a grant at once; its record stays');
  example(revoke, 'alterd grant revoke github-read --yes').action(async (id: string) => {
    const { grant } = await cli.client().read<{ grant: GrantView }>(apiPath('grants', id));
    await cli.confirm(`Revoke the grant ${nameOf(grant)}?`);
    const answer = await cli.client().send<{ grant: GrantView }>(apiPath('grants', grant.id, 'revoke'));
    showGrant(cli, answer.grant);
    const verb = answer.grant.oauth?.state === 'revoked' ? 'connect' : 'grant create';
    cli.output.hint(`A new one: \`alterd ${verb} ${grant.provider} --agent ${grant.agent ?? 'NAME'}\`.`);
  });
  const remove = command.command('remove <grant>').description('remove a grant and its record; audit entries stay');
  example(remove, 'alterd grant remove github-read --yes').action(async (id: string) => {
    const { grant } = await cli.client().read<{ grant: GrantView }>(apiPath('grants', id));
    await cli.confirm(`Remove the grant ${nameOf(grant)}?`);
    await cli.client().remove(apiPath('grants', grant.id));
    cli.output.note(`Removed the grant ${grant.id}.`);
    cli.output.hint('See what is left: `alterd grant list`.');
  });
}
