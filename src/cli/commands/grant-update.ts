/** `alterd grant update`: what may be changed of a grant while it lives. What it covers is not: that is another grant. */
import { type Command, Option } from 'commander';
import { apiPath } from '../../api/client.ts';
import type { GrantView } from '../../api/views.ts';
import { AlterError } from '../../domain/errors.ts';
import type { Cli } from '../cli.ts';
import { collectList, example } from '../define.ts';
import { parseFuture } from '../duration.ts';
import { inFlags } from '../flag-words.ts';
import {
  BODY_WORDS,
  type BodyFlags,
  bodiesOf,
  GRANT_WORDS,
  leaseOf,
  OVERRIDE_WORDS,
  overrideOf,
  type PinFlags,
  pinsOf,
} from '../grant-flags.ts';
import { showGrant } from '../grant-text.ts';

interface UpdateFlags extends PinFlags, BodyFlags {
  readonly label?: string;
  readonly approval?: readonly string[];
  readonly expires?: string;
  readonly override?: string;
  readonly allowPrivate?: boolean;
  readonly allowPlaintext?: boolean;
  readonly passCookies?: boolean;
  readonly cache: boolean;
  readonly allowCache?: boolean;
  readonly offlineGrace?: string;
}

/** What `grant create` takes and a grant keeps for life. */
const FIXED = ['agent', 'user', 'group', 'system', 'secret', 'host', 'methods', 'paths', 'graphql', 'rpc', 'git'] as const;

export function defineGrantUpdate(command: Command, cli: Cli): void {
  const update = command
    .command('update <grant>')
    .description('change how a grant is used; what it covers (hosts, methods, paths, operations, git) is for a new one')
    .option('--label <text>', 'a name of its own; "" for none')
    .option(
      '--approval <list>',
      "requests of these methods wait until a person approves them; '*' for all, none for no others",
      collectList,
    )
    .option(
      '--expires <when>',
      'a duration (30d), a time (2031-01-31T12:00:00Z) or never; not later where an account was connected',
    )
    .addOption(new Option('--override <mode>', 'what happens to a value that the client sent itself').choices(OVERRIDE_WORDS))
    .option('--allow-private', 'the host may have a private or loopback address')
    .option('--no-allow-private', 'it may not')
    .option('--allow-plaintext', 'the secret may go out over http://')
    .option('--no-allow-plaintext', 'it may not')
    .option('--pass-cookies', "the agent gets the provider's cookies, which may be as good as the secret")
    .option('--no-pass-cookies', 'it does not')
    .option('--aws-region <region>', 'sign for this AWS region alone; "any" for what its secret says')
    .option('--aws-service <name>', 'sign for this AWS service alone; "any" for what its secret says')
    .option('--no-cache', 'hosts of a central vault ask for the secret each time, and keep nothing of it')
    .option('--allow-cache', 'they keep it, encrypted, until their lease ends')
    .option(
      '--offline-grace <duration>',
      "how long they may use it after their lease, while the vault can't be reached; 0s for none",
    )
    .addOption(new Option('--audit-bodies <which>', 'keep these bodies beside the audit rows').choices(BODY_WORDS))
    .option('--audit-body-bytes <count>', 'how much of each body, such as 64KiB');
  for (const name of FIXED) update.addOption(new Option(`--${name} [value]`).hideHelp());
  example(update, 'alterd grant update github-read --expires 30d --allow-private').action(
    async (id: string, flags: UpdateFlags) => {
      requireChangeable(id, update.opts());
      const change = changeOf(flags);
      if (Object.keys(change).length === 0)
        throw new AlterError(
          'invalid_input',
          { problems: ['say what to change, such as --expires, --label, --approval or --allow-private'] },
          { hint: 'See what there is: `alterd grant update --help`.' },
        );
      const changed = cli.client().send<{ grant: GrantView }>(apiPath('grants', id), change);
      showGrant(cli, (await inFlags(GRANT_WORDS, changed)).grant);
    },
  );
}

/** @throws AlterError invalid_input */
function requireChangeable(id: string, given: Readonly<Record<string, unknown>>): void {
  const fixed = FIXED.filter((name) => given[name] !== undefined);
  if (fixed.length === 0) return;
  throw new AlterError(
    'invalid_input',
    {
      problems: fixed.map((name) => `--${name} can't be changed: audit rows name the grant, and have to stay true of it`),
    },
    { hint: `Make another with \`alterd grant create\`, then end this one: \`alterd grant revoke ${id}\`.` },
  );
}

function changeOf(flags: UpdateFlags): object {
  const { label, approval, expires, override, allowPrivate, allowPlaintext, passCookies, cache, allowCache, offlineGrace } =
    flags;
  const change = {
    label,
    approval: approval?.join() === 'none' ? null : approval,
    expires_at: expires === undefined ? undefined : expires === 'never' ? null : parseFuture(expires, '--expires'),
    override: overrideOf(override),
    allow_private: allowPrivate,
    allow_plaintext: allowPlaintext,
    pass_response_cookies: passCookies,
    no_cache: cache === false ? true : allowCache === true ? false : undefined,
    ...leaseOf(offlineGrace === undefined ? {} : { offlineGrace }),
    ...pinsOf(flags, 'any'),
    ...bodiesOf(flags),
  };
  return Object.fromEntries(Object.entries(change).filter(([, value]) => value !== undefined));
}
