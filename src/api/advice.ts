/**
 * Why each refusal came and what changes it, one entry for each code of the error table. Pure.
 * Advice names commands of the operator; every word that an agent chose is quoted for the shell.
 */
import type { AuditEntry } from '../domain/audit.ts';
import type { ErrorCode } from '../domain/errors.ts';
import type { Advice } from './policy-advice.ts';
import { adviseOnDestination, adviseOnPolicy, agentOf, doubtfulPath, hostOf } from './policy-advice.ts';
import { shellWord } from './shell-word.ts';
import type { GrantView } from './views.ts';

type Adviser = (entry: AuditEntry, grant: GrantView | null) => Advice;

const always =
  (why: string, ...fix: readonly string[]): Adviser =>
  () => ({ why: [why], fix });

/** What is known of one code. */
export const adviceOn = (code: ErrorCode, entry: AuditEntry, grant: GrantView | null): Advice => ADVISERS[code](entry, grant);

const ADVISERS: Readonly<Record<ErrorCode, Adviser>> = {
  malformed_request: (entry, grant) =>
    doubtfulPath(entry, grant) ?? {
      why: ['The request is not one that two readers would understand alike, so it went nowhere.'],
      fix: ['Mend the client that sends it; the body of the refusal said what is wrong.'],
    },
  request_too_large: always(
    'The head of the request is over a limit.',
    'Send fewer or shorter headers, or raise limits.head_bytes, limits.headers or limits.path_bytes in the configuration.',
  ),
  method_refused: (entry) => ({
    why: [`${entry.method ?? 'The method'} is never forwarded: it can echo the credential.`],
    fix: ['Use another method.'],
  }),
  caller_unauthenticated: always(
    'The proxy URL carried no agent key, or one that is unknown here.',
    'Start the command through alterd: `alterd run --agent NAME -- COMMAND`.',
    'Or make a key and put it into HTTPS_PROXY: `alterd agent key create NAME`.',
  ),
  key_revoked: (entry) => ({
    why: [
      `The key${entry.key_prefix === null ? '' : ` ${entry.key_prefix}…`} is revoked or expired, or its agent is not active.`,
    ],
    fix: [
      `See what it is: \`alterd agent show ${agentOf(entry)}\`.`,
      `A new key: \`alterd agent key create ${agentOf(entry)}\`; a paused agent: \`alterd agent resume ${agentOf(entry)}\`.`,
    ],
  }),
  too_many_failures: always(
    'Too many wrong keys came from this caller.',
    'Put a valid key into the proxy URL, then wait half a minute.',
  ),
  misdirected_request: always(
    'Host, SNI and the tunnel do not name the same host. Only one of them can be the one that was allowed.',
    'Let the client open a tunnel to the host that it names; it may be reusing a tunnel of another host.',
  ),
  destination_refused: adviseOnDestination,
  tunnel_limit: always(
    'The proxy had as many open tunnels as it may have.',
    'Close some, or raise limits.tunnels or limits.tunnels_per_agent in the configuration.',
  ),
  grant_not_found: adviseOnMissingGrant,
  ambiguous_grant: (entry) => ({
    why: [`Several grants cover ${hostOf(entry)} and nothing said which one is meant. alterd never guesses.`],
    fix: [
      'See them: `alterd grant list`.',
      `Pick one for a command: \`alterd run --agent ${agentOf(entry)} --grant ID -- COMMAND\`.`,
      'Pick one in a request: the header `Alter-Grant-Id: ID` or `Alter-Label: LABEL`. Or revoke the one too many: `alterd grant revoke ID`.',
    ],
  }),
  no_delegated_grant: (entry) => ({
    why: [
      `${hostOf(entry)} is not covered by any grant that the user of this request delegated to agent ${agentOf(entry)}, or the delegation has ended.`,
    ],
    fix: [
      `See what the agent reaches: \`alterd reach ${agentOf(entry)}\`.`,
      `The user delegates a grant: \`alterd delegate GRANT --agent ${agentOf(entry)}\`.`,
    ],
  }),
  token_binding_mismatch: (entry) => ({
    why: ['The key is bound to a unit, a program or a network, and it was presented from elsewhere.'],
    fix: [`A key for this place: \`alterd agent key create ${agentOf(entry)}\`.`],
  }),
  policy_violation: adviseOnPolicy,
  approval_pending: (entry) => ({
    why: ['A rule wants a person to approve such a request, and nobody has decided in the time that it was held.'],
    fix: [
      'See what waits: `alterd approvals list`, or decide as they come: `alterd approvals watch`.',
      ...(entry.details?.approval == null ? [] : [`This one: \`alterd approvals show ${String(entry.details.approval)}\`.`]),
    ],
  }),
  approval_denied: (entry) => ({
    why: ['A person denied the request.'],
    fix:
      entry.details?.approval == null
        ? ['See who and when: `alterd approvals list`.']
        : [`See who and when: \`alterd approvals show ${String(entry.details.approval)}\`.`],
  }),
  rate_limited: always('The rate limit of the grant was reached.', 'Wait, then try again.'),
  grant_expired: renewGrant('The grant has expired.'),
  grant_revoked: renewGrant('The grant is revoked.'),
  re_auth_required: adviseOnAuthentication,
  connect_failed: always('The account was not connected.', 'Begin again: `alterd connect PROVIDER`.'),
  credential_unavailable: (entry) => ({
    why: [`The credential ${entry.credential ?? ''} could not be opened.`.replace('  ', ' ')],
    fix: [
      '`alterd doctor` says whether the master key is there.',
      `Store it anew: \`alterd secret rotate ${entry.credential ?? 'NAME'} --token-stdin\`.`,
    ],
  }),
  vault_unavailable: always('The vault could not be used at that moment.', '`alterd doctor` says more; try again.'),
  audit_unavailable: always(
    'The request could not be recorded, and what cannot be recorded is not forwarded.',
    'Free disk space, then `alterd status` shows whether the journal is healthy and `alterd audit verify` whether it is whole.',
  ),
  upstream_unreachable: (entry) => ({
    why: [`${hostOf(entry)} could not be reached from the machine that runs alterd.`],
    fix: ['Check the host name and the network there. Behind a company proxy, set upstream.proxy in the configuration.'],
  }),
  upstream_untrusted: (entry) => ({
    why: [`The certificate of ${hostOf(entry)} was not accepted. Nothing was sent.`],
    fix: [
      'When the host has a private CA, name its file in upstream.ca_file in the configuration. There is no switch that turns the check off.',
    ],
  }),
  upstream_protocol: (entry) => ({
    why: [`The answer of ${hostOf(entry)} is not valid HTTP.`],
    fix: ['Nothing can be done at the agent; tell the operator of the host.'],
  }),
  upstream_timeout: (entry) => ({
    why: [`${hostOf(entry)} did not answer in time.`],
    fix: ['Try again, or raise timeouts.connect_ms, timeouts.response_head_ms or timeouts.body_idle_ms in the configuration.'],
  }),
  loop_detected: always(
    'The request came back to the proxy that had sent it.',
    'Remove the loop: upstream.proxy must not lead back to alterd.',
  ),
  not_found: always('What was asked for is not there.', 'Check the name.'),
  conflict: always('It contradicts what is there already.', 'Look at what is there, then try again.'),
  invalid_input: always('The input was not valid.', 'Correct what was named and try again.'),
  forbidden: always('It is not allowed.', 'Ask an operator.'),
  connect_session_invalid: always(
    'The link to the Connect page was used, has expired or is not known.',
    'Make a new one: `alterd connect-session create PROVIDER`.',
  ),
  host_unauthenticated: always(
    'A host called the vault without a signature of its own, or with one that was used before.',
    'See what there is: `alterd vault host list`. If it is a host of yours, enroll it anew: `alterd vault host rekey NAME`.',
  ),
  clock_skewed: always(
    'The clocks of host and vault are too far apart.',
    "Set the host's clock, for example `timedatectl set-ntp true`.",
  ),
  host_inactive: always(
    'The host is paused or revoked at the vault.',
    'See it: `alterd vault host list`; let a paused one work again: `alterd vault host resume NAME`.',
  ),
  enrolment_refused: always(
    'A host came with a token that is not good, or not good any more.',
    'Make another: `alterd vault host rekey NAME`.',
  ),
  vault_untrusted: always(
    'What answered in the place of the vault has a certificate that this host does not trust.',
    'Compare the fingerprints, then enroll the host anew.',
  ),
  sealed_file_refused: always(
    'A sealed file could not be opened: another passphrase, or it is not as it was written.',
    'Make another at the source: `alterd export --out FILE`.',
  ),
  import_conflict: always(
    'What the file holds is there already, and different. Nothing was changed.',
    'See what differs: `alterd import FILE --dry-run`.',
  ),
  internal_error: (entry) => ({
    why: ['alterd failed in a way that it should not; nothing more was forwarded.'],
    fix: [`Report it with the request id ${entry.request_id}; \`alterd logs\` has the details.`],
  }),
};

function adviseOnMissingGrant(entry: AuditEntry): Advice {
  const provider = entry.provider_id ?? 'PROVIDER';
  return {
    why: [`${hostOf(entry)} is covered by some grant, but by none that agent ${agentOf(entry)} may use for this call.`],
    fix: [
      `See what the agent has: \`alterd agent show ${agentOf(entry)}\`.`,
      `Create one: \`alterd grant create ${shellWord(provider)} --agent ${agentOf(entry)}\`.`,
      ...(entry.session_id === null
        ? []
        : ['The session of `alterd run` may be narrowed with --grant or --deny; start it without.']),
    ],
  };
}

/** With a grant it is about the grant's account, else about the user in person. */
function adviseOnAuthentication(entry: AuditEntry): Advice {
  if (entry.grant_id !== null)
    return {
      why: ['The provider no longer takes the refresh token of this account, or it has none and its access token has ended.'],
      fix: [
        `Connect it again; the grant keeps its id: \`alterd connect ${entry.provider_id ?? 'PROVIDER'} --grant ${entry.grant_id}\`.`,
      ],
    };
  return {
    why: [
      'The user token of the request was not accepted: it has ended, is meant for somebody else, or is signed by a key that its issuer does not show.',
    ],
    fix: [
      'Send a new token, or sign in again: `alterd login`.',
      'When every token is refused, compare `alterd config show` with the identity provider: issuer, audience, algorithms.',
    ],
  };
}

function renewGrant(why: string): Adviser {
  return (entry, grant) => ({
    why: [why],
    fix: [
      `Create a new one: \`alterd grant create ${shellWord(grant?.provider ?? entry.provider_id ?? 'PROVIDER')} --agent ${shellWord(agentOf(entry))}\`.`,
    ],
  });
}
