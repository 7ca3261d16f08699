/**
 * Refusals by a rule: what the rule wanted and what an operator can do, for each policy error of the data plane. Pure.
 * What is not known here still gets the rule's name and the grant to look at.
 */
import type { AuditEntry } from '../domain/audit.ts';
import { shellWord } from './shell-word.ts';
import type { GrantView } from './views.ts';

export interface Advice {
  readonly why: readonly string[];
  readonly fix: readonly string[];
}

export const agentOf = (entry: AuditEntry): string => shellWord(entry.agent ?? 'NAME');
export const hostOf = (entry: AuditEntry): string => entry.host ?? 'HOST';

/** Why a destination as a whole is out of reach. */
export function adviseOnDestination(entry: AuditEntry): Advice {
  const host = hostOf(entry);
  switch (entry.policy_error) {
    case 'address_not_allowed':
      return {
        why: [`${host} leads to a private, loopback or metadata address, which agents may not reach through alterd.`],
        fix: [
          entry.grant_id === null
            ? `When that is meant, for a grant: \`alterd grant create PROVIDER --agent ${agentOf(entry)} --allow-private\`.`
            : `When that is meant: \`alterd grant update ${entry.grant_id} --allow-private\`.`,
          'For traffic without a grant: allow_private in the configuration. Metadata addresses stay refused.',
        ],
      };
    case 'own_listener':
      return {
        why: ['The address is one on which alterd itself listens.'],
        fix: ['Take the proxy out of the way for it, or call another host.'],
      };
    case 'opaque_tunnel':
      return {
        why: [
          `A grant covers ${host}, and what the agent sent there is neither TLS nor HTTP: it can't be read, so it was not passed on.`,
        ],
        fix: ['Let the client speak https there; other protocols do not go through a host that has a grant.'],
      };
    case 'outside_ca_name_constraints':
      return {
        why: [`The local CA may sign only for the names in ca.name_constraints, and ${host} is none of them.`],
        fix: ['Add the name to ca.name_constraints in the configuration, then `alterd ca rotate` after a restart.'],
      };
    default:
      return {
        why: [
          `No grant covers ${host} and the configuration does not let such hosts through (${entry.policy_error ?? 'egress'}).`,
        ],
        fix: [
          `Create a grant: \`alterd grant create PROVIDER --agent ${agentOf(entry)}\`, or set egress = "tunnel" in the configuration.`,
        ],
      };
  }
}

type Adviser = (entry: AuditEntry, grant: GrantView | null) => Advice;

const inSession =
  (what: string): Adviser =>
  (entry) => ({
    why: [`The grant would allow it, but the session that made the call ${what}.`],
    fix: [`Start the command without that restriction: \`alterd run --agent ${agentOf(entry)} -- COMMAND\`.`],
  });

/** For rules that are no longer there; those that are get explained condition by condition. */
const byPolicy =
  (why: string): Adviser =>
  (entry) => ({
    why: [why],
    fix: [`See the policy: \`alterd policy show ${shellWord(entry.rule?.replace(/^policy\.|\/.*$/g, '') ?? 'NAME')}\`.`],
  });

const BY_POLICY_ERROR: Readonly<Record<string, Adviser>> = {
  method_not_allowed: (entry, grant) => ({
    why: [
      `The grant does not allow the method ${entry.method ?? ''}${grant?.methods == null ? '' : `; it allows ${grant.methods.join(', ')}`}.`,
      ...(grant?.methods?.includes(entry.method ?? '') === true
        ? [
            'The request asked to be taken for another method (a method-override header or parameter), and that one is not allowed.',
          ]
        : []),
    ],
    fix: wider(entry, grant, { methods: [entry.method ?? ''] }),
  }),
  path_not_allowed: (entry, grant) => ({
    why: [
      `The grant does not allow the path ${entry.path ?? ''}${grant?.paths == null ? '' : `; it allows ${grant.paths.join(', ')}`}.`,
    ],
    fix: wider(entry, grant, { paths: [(entry.path ?? '').replace(/\*/g, '?')] }),
  }),
  path_excluded: (entry, grant) => ({
    why: [
      `The provider${entry.provider_id === null ? '' : ` ${entry.provider_id}`} hands out credentials on this path itself, so none is ever put on it${grant === null ? '' : ` (${grant.excluded_paths.join(', ')})`}.`,
    ],
    fix: ['Nothing allows it. An agent has no need of that path: alterd holds the credential.'],
  }),
  git_push_not_allowed: (entry, grant) => ({
    why: ['The request prepares or carries a git push, which the grant or the session does not allow.'],
    fix: wider(entry, grant, {
      methods: ['GET', 'POST'],
      paths: [`${repositoryOf(entry.path ?? '')}/**`],
      ...(entry.rule === 'grant.git' ? { git: 'write' as const } : {}),
    }),
  }),
  not_git: (entry, grant) => ({
    why: [
      `The grant is for git alone, and ${entry.method ?? 'this'} ${entry.path ?? ''} is no request of a clone, fetch${grant?.git === 'write' ? ' or push' : ''}.`,
    ],
    fix: wider(entry, grant, { git: null }),
  }),
  operation_not_allowed: (entry, grant) => ({
    why: [
      `The grant allows certain operations only (${grant === null ? 'see the grant' : grant.operations.flatMap(({ allow }) => allow).join(', ')}), and the request runs ${String(entry.details?.operations ?? 'another one')}.`,
    ],
    fix: [
      grant === null ? 'See the grant: `alterd grant list`.' : `See the grant: \`alterd grant show ${grant.id}\`.`,
      'To allow more, replace it by one with more in --graphql or --rpc.',
    ],
  }),
  operation_unreadable: () => ({
    why: ['The grant allows certain operations only, and the body of the request could not be read for its operations.'],
    fix: [
      'Let the client send plain JSON in UTF-8, not compressed and without stored operations; the body of the refusal said what was wrong.',
      'A long body: raise limits.rule_body_bytes in the configuration.',
    ],
  }),
  signing_scope: (entry, grant) => {
    const what = entry.rule === 'sigv4.service' ? 'service' : 'region';
    const pin = what === 'service' ? grant?.aws_service : grant?.aws_region;
    const only = pin == null ? '' : `; it is pinned to ${pin}`;
    return {
      why: [`The client signed for another AWS ${what} than the one that is signed for${only}. Nothing was signed.`],
      fix: [
        `Let the client use the ${what} of the pin.`,
        `Another pin for the grant, or "any" for that of its secret: \`alterd grant update ${grant?.id ?? 'ID'} --aws-${what} ${what === 'region' ? 'REGION' : 'SERVICE'}\`.`,
      ],
    };
  },
  session_method_denied: inSession('was started with --deny for the method'),
  session_path_denied: inSession('was started with --deny for the path'),
  session_host_denied: inSession('was started with --deny for the host'),
  session_grant_denied: inSession('was started with --grant for another one'),
  caller_ended: (entry) => ({
    why: ['The key or the session ended while the tunnel was open, or its agent was paused or revoked.'],
    fix: [
      `See the agent: \`alterd agent show ${agentOf(entry)}\`. A new session: \`alterd run --agent ${agentOf(entry)} -- COMMAND\`.`,
    ],
  }),
  token_uid_mismatch: (entry) => ({
    why: ['The key is bound to another user of this machine than the one that presented it.'],
    fix: [`A key for this user: \`alterd agent key create ${agentOf(entry)} --uid UID\`.`],
  }),
  user_mismatch: (entry) => ({
    why: ['The request carried a token of another user than the one whom its session was made for. Nothing was sent for either.'],
    fix: [`Use a session for each user, or a key without a user: \`alterd agent key list ${agentOf(entry)}\`.`],
  }),
  user_deactivated: (entry) => ({
    why: [`The user ${entry.user ?? entry.user_id ?? ''} is deactivated or removed here, whatever the identity provider says.`],
    fix: [
      `See the user: \`alterd user show ${shellWord(entry.user_id ?? 'USER')}\`; let the user in again with \`alterd user activate\`.`,
    ],
  }),
  agent_scope_not_allowed: (entry) => ({
    why: [`The agent is limited to some providers, and the grant for ${hostOf(entry)} is of another.`],
    fix: [`See the limit: \`alterd agent show ${agentOf(entry)}\`.`],
  }),
  unknown_placeholder: (entry) => ({
    why: [
      'The request carried a placeholder that belongs to no grant of this agent. It was not forwarded: it would only fail, or belong to another agent.',
    ],
    fix: [`See the placeholders of its grants: \`alterd agent show ${agentOf(entry)}\` and \`alterd grant show ID\`.`],
  }),
  placeholder_wrong_host: (_entry, grant) => ({
    why: ['The request carried the placeholder of a grant that does not cover this host.'],
    fix: [
      grant === null
        ? 'See which hosts the grant covers: `alterd grant show ID`.'
        : `See which hosts it covers: \`alterd grant show ${grant.id}\`.`,
    ],
  }),
  plaintext_injection: (entry) => ({
    why: ['The credential does not go out over plain http, where everybody on the way could read it.'],
    fix: [`Use https://${hostOf(entry)}, or create a grant with --allow-plaintext when the way is safe.`],
  }),
  rule_denied: byPolicy('A rule of a policy denies such requests.'),
  requirement_not_met: byPolicy('A rule of a policy requires something that the request did not meet.'),
  approval_unavailable: byPolicy('A rule of a policy wants an approval, and there was nobody to ask.'),
  evaluation_failed: (entry, grant) =>
    entry.rule?.startsWith('policy.') === true
      ? byPolicy('A rule of a policy needs something that was not known, and what can not be decided is refused.')(entry, grant)
      : {
          why: ['A rule of the grant could not be evaluated, and what can not be decided is refused.'],
          fix: [`Revoke the grant and create it anew: \`alterd grant revoke ${grant?.id ?? 'ID'}\`.`],
        },
};

/** What the rule that denied wanted. */
export function adviseOnPolicy(entry: AuditEntry, grant: GrantView | null): Advice {
  const rule = `The rule that denied it: ${entry.rule ?? 'unnamed'} (${entry.policy_error ?? 'policy'}).`;
  const adviser =
    entry.policy_error !== null && Object.hasOwn(BY_POLICY_ERROR, entry.policy_error)
      ? BY_POLICY_ERROR[entry.policy_error]
      : undefined;
  if (adviser === undefined) {
    const look = grant === null ? `alterd agent show ${agentOf(entry)}` : `alterd grant show ${grant.id}`;
    return { why: [rule], fix: [`See what is allowed: \`${look}\`.`] };
  }
  const { why, fix } = adviser(entry, grant);
  return { why: [...why, rule], fix };
}

/** A path that two servers could read differently, under a rule about paths. */
export function doubtfulPath(entry: AuditEntry, grant: GrantView | null): Advice | null {
  if (entry.rule !== 'grant.paths' && entry.rule !== 'session.denied_paths') return null;
  return {
    why: [
      `The path can be read in two ways (dot segments, "//", an encoded slash or backslash), so it is not certain that the rule ${entry.rule} allows it.`,
      ...(grant?.paths == null ? [] : [`The grant allows the paths ${grant.paths.join(', ')}.`]),
    ],
    fix: ['Let the client send the plain path. Without a path rule in the grant, such paths pass untouched.'],
  };
}

const repositoryOf = (path: string): string => path.replace(/\/(info\/refs|git-receive-pack|git-upload-pack)$/, '');

/**
 * SECURITY: an agent that calls the literal path `/**` must not get an operator to paste a grant for everything: only the
 * end may be a glob, and only one that was put there here.
 */
const plainPath = (path: string): string => (/^\/[\w.~/-]*(\*\*)?$/.test(path) && path !== '/**' ? path : '/PATH');

const ownerFlag = (grant: GrantView): string => {
  if (grant.principal === 'user') return `--user ${shellWord(grant.user_id ?? 'USER')}`;
  if (grant.principal === 'group') return `--group ${shellWord(grant.group ?? 'GROUP')}`;
  return grant.principal === 'system' ? '--system' : `--agent ${shellWord(grant.agent ?? 'NAME')}`;
};

/** The same grant with more in it. Grants are replaced, not edited, so that the grant of each audit entry stays what it was. */
function wider(
  entry: AuditEntry,
  grant: GrantView | null,
  more: { methods?: readonly string[]; paths?: readonly string[]; git?: GrantView['git'] },
): string[] {
  if (grant === null) return [`See what the agent may do: \`alterd agent show ${agentOf(entry)}\`.`];
  const methods =
    grant.methods === null
      ? null
      : [...new Set([...grant.methods, ...(more.methods ?? []).filter((method) => /^[A-Z-]+$/.test(method))])];
  const paths = grant.paths === null ? null : [...new Set([...grant.paths, ...(more.paths ?? []).map(plainPath)])];
  const git = more.git === undefined ? grant.git : more.git;
  const command = [
    `alterd grant create ${shellWord(grant.provider)}`,
    ownerFlag(grant),
    `--secret ${shellWord(grant.credential)}`,
    ...(grant.label === '' ? [] : [`--label ${shellWord(grant.label)}`]),
    ...(methods === null ? [] : [`--methods ${shellWord(methods.join(','))}`]),
    ...(paths === null ? [] : [`--paths ${shellWord(paths.join(','))}`]),
    ...(git === null ? [] : [`--git ${git}`]),
    ...(grant.aws_region === null ? [] : [`--aws-region ${shellWord(grant.aws_region)}`]),
    ...(grant.aws_service === null ? [] : [`--aws-service ${shellWord(grant.aws_service)}`]),
  ].join(' ');
  return [
    `See the grant: \`alterd grant show ${grant.id}\`.`,
    `To allow it, replace the grant: \`alterd grant revoke ${grant.id}\`, then \`${command}\`.`,
  ];
}
