/**
 * An audit entry in words: the verdict, why it came to that, and what would make it go otherwise, as commands. Pure.
 * The entry holds no secret, so neither does its explanation; agents' own text is quoted for the shell.
 */
import type { AuditEntry } from '../domain/audit.ts';
import { ERRORS, type ErrorCode } from '../domain/errors.ts';
import type { RuleExplanation } from '../policy/policy-explanation.ts';
import { adviceOn } from './advice.ts';
import type { GrantView } from './views.ts';

export type Verdict = 'allowed' | 'refused' | 'failed' | 'tunnelled' | 'recorded' | 'open';

export interface Explanation {
  readonly verdict: Verdict;
  readonly why: readonly string[];
  readonly fix: readonly string[];
}

/**
 * @param grant the grant of the entry as it is now; null when it had none or it is gone
 * @param policy the rule of a policy that refused it; null when none did
 */
export function explanationOf(entry: AuditEntry, grant: GrantView | null, policy: RuleExplanation | null = null): Explanation {
  const code = entry.error !== null && Object.hasOwn(ERRORS, entry.error) ? (entry.error as ErrorCode) : null;
  if (entry.kind === 'event') return explainEvent(entry);
  if (entry.closed_at === null) {
    return { verdict: 'open', why: [...callOf(entry), 'It has not ended yet.'], fix: [] };
  }
  if (policy !== null) {
    const decided = `The rule ${entry.rule?.replace(/^policy\./, '')} decided (${entry.policy_error ?? 'policy'}).`;
    return {
      verdict: 'refused',
      why: [...callOf(entry), decided, `${policy.says}.`, ...policy.inputs.map((input) => `- ${input}`)],
      fix: policy.changes.map((change) => (/^[A-Z]/.test(change) ? change : `It would pass: ${change}.`)),
    };
  }
  if (code !== null) {
    const advice = adviceOn(code, entry, grant);
    const verdict = entry.decision === 'deny' || entry.outcome === 'refused' ? 'refused' : 'failed';
    return { verdict, why: [...callOf(entry), ...advice.why], fix: advice.fix };
  }
  return entry.kind === 'tunnel' ? explainTunnel(entry) : explainExchange(entry, grant);
}

function callOf(entry: AuditEntry): string[] {
  const who = entry.agent === null ? 'A caller that did not prove who it is' : `Agent ${entry.agent}`;
  const by = (entry.session_id === null ? '' : ' in a session') + (entry.user === null ? '' : ` for user ${entry.user}`);
  const where =
    entry.host === null ? 'the proxy' : `${entry.scheme ?? 'https'}://${entry.host}${portOf(entry)}${entry.path ?? ''}`;
  const key = entry.key_prefix === null ? '' : ` (key ${entry.key_prefix}…)`;
  return [`${who}${by}${key} called ${entry.method === null ? '' : `${entry.method} `}${where}.`];
}

const portOf = (entry: AuditEntry): string =>
  entry.port === null || entry.port === (entry.scheme === 'http' ? 80 : 443) ? '' : `:${entry.port}`;

function explainExchange(entry: AuditEntry, grant: GrantView | null): Explanation {
  const why = callOf(entry);
  if (entry.grant_id !== null) why.push(...grantLines(entry, grant));
  else why.push('No grant was involved, so nothing was put on the request.');
  if (entry.grant_id !== null && entry.credential !== null) why.push(...injectionLines(entry, grant));
  const { would_deny: wouldDeny } = entry.details ?? {};
  if (typeof wouldDeny === 'string') why.push(`Monitored rules would have denied it: ${wouldDeny.replaceAll(' ', ', ')}.`);
  const end = endOf(entry);
  return { verdict: entry.outcome === 'success' ? 'allowed' : 'failed', why: [...why, ...end.why], fix: end.fix };
}

function grantLines(entry: AuditEntry, grant: GrantView | null): string[] {
  const label = entry.grant_label === null || entry.grant_label === '' ? '' : ` (${entry.grant_label})`;
  const owner = ownerOf(entry);
  const lines = [`Grant ${entry.grant_id}${label} covers it${owner}.`];
  if (entry.delegation_id !== null) lines.push(`The agent may use it by delegation ${entry.delegation_id}.`);
  if (entry.rule !== null) lines.push(`The rule that allowed it: ${entry.rule}.`);
  if (grant === null) lines.push('The grant has been removed since.');
  else if (grant.status !== 'active') lines.push(`The grant is ${grant.status} now: the same call would be refused.`);
  return lines;
}

function ownerOf(entry: AuditEntry): string {
  if (entry.principal_type === 'system') return ', which every active agent may use';
  if (entry.principal_type === 'user') return `, which is the user's own`;
  return entry.principal_type === 'group' ? `, which is of the group ${entry.group ?? ''}` : '';
}

function injectionLines(entry: AuditEntry, grant: GrantView | null): string[] {
  const place = grant === null || grant.injects.length === 0 ? '' : `: ${grant.injects.join(', ')}`;
  const provider = entry.provider_id === null ? '' : ` of provider ${entry.provider_id}`;
  return [
    `alterd put the credential ${entry.credential}${provider} on the request${place}.`,
    entry.replaced
      ? 'The client had sent a value of its own in that place; it was replaced and did not reach the provider.'
      : 'The client had sent no value of its own in that place; nothing was replaced.',
    ...(entry.scrubbed === 0
      ? []
      : [
          `The answer repeated the credential ${entry.scrubbed === 1 ? 'once' : `${entry.scrubbed} times`}; the agent got a mask in its place.`,
        ]),
  ];
}

function explainTunnel(entry: AuditEntry): Explanation {
  const why = [
    ...callOf(entry),
    'No grant covers this host, so the bytes were passed through unread: no credential was put on them, and nothing inside was recorded.',
  ];
  const end = endOf(entry);
  return {
    verdict: entry.outcome === 'success' ? 'tunnelled' : 'failed',
    why: [...why, ...(entry.outcome === 'success' ? [] : end.why)],
    fix: [
      ...end.fix,
      'To have a credential put on such calls, create a grant for the host: `alterd grant create PROVIDER --agent NAME`.',
      'To refuse hosts without a grant, set egress = "refuse" in the configuration, then `alterd config validate` and reload.',
    ],
  };
}

function endOf(entry: AuditEntry): { why: string[]; fix: string[] } {
  switch (entry.outcome) {
    case 'success':
      return providerAnswer(entry);
    case 'provider_error':
      return {
        why: ['The provider broke the answer off or sent something that is not valid HTTP.'],
        fix: ['Try again; when it stays, look at the state of the provider.'],
      };
    case 'client_abort':
      return {
        why: ['The agent left before the answer was complete.'],
        fix: ['When that was not meant, raise the timeout of the client.'],
      };
    case 'unknown':
      return {
        why: ['The daemon ended before the request did: what the provider made of it is not known.'],
        fix: ['Look at the provider whether the call had an effect before it is repeated.'],
      };
    case 'refused':
      return { why: ['alterd refused it.'], fix: ['`alterd doctor` says more.'] };
  }
}

function providerAnswer(entry: AuditEntry): { why: string[]; fix: string[] } {
  const status = entry.status;
  const answered = `The provider answered ${status ?? 'without a status'} after ${entry.latency_ms} ms.`;
  if (status === 401 && entry.credential !== null) {
    return {
      why: [answered, 'That is the provider speaking, not alterd: it does not accept the credential.'],
      fix: [`Store a fresh one: \`alterd secret rotate ${entry.credential} --token-stdin\`.`],
    };
  }
  if (status === 403 && entry.credential !== null) {
    return {
      why: [
        answered,
        'That is the provider speaking, not alterd: the credential lacks a permission there, or a limit is reached.',
      ],
      fix: ['Widen what the credential may do at the provider, then store it anew if it changed: `alterd secret rotate`.'],
    };
  }
  if (status === 407)
    return {
      why: [answered, 'A proxy beyond alterd wants credentials.'],
      fix: ['Set upstream.proxy_auth_file in the configuration.'],
    };
  return { why: [answered], fix: [] };
}

function explainEvent(entry: AuditEntry): Explanation {
  const details = Object.entries(entry.details ?? {}).map(
    ([name, value]) => `${name} = ${name.endsWith('_at') && typeof value === 'number' ? new Date(value).toISOString() : value}`,
  );
  const about = [
    entry.agent === null ? null : `agent ${entry.agent}`,
    entry.credential === null ? null : `secret ${entry.credential}`,
    entry.grant_id === null ? null : `grant ${entry.grant_id}`,
    entry.key_prefix === null ? null : `key ${entry.key_prefix}…`,
  ].filter((part) => part !== null);
  const failed = entry.error === null ? [] : [`It was not carried out: ${entry.error}.`];
  return {
    verdict: entry.error === null ? 'recorded' : 'failed',
    why: [`Event ${entry.action}${about.length === 0 ? '' : `: ${about.join(', ')}`}.`, ...details, ...failed],
    fix: [],
  };
}
