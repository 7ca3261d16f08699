/** Grants as the command line shows them. Must never show a credential: the view that it is given has none. */
import type { GrantView, OAuthView } from '../api/views.ts';
import type { OperationRule } from '../domain/operation-rule.ts';
import type { Cli } from './cli.ts';

/** Agents by their name alone; people with what they are. */
export const ownerText = (grant: GrantView): string | null => {
  if (grant.principal === 'agent') return grant.agent;
  if (grant.principal === 'user') return `user ${grant.user ?? grant.user_id}`;
  return grant.principal === 'group' ? `group ${grant.group}` : '(system)';
};
const GIT_WORDS = { read: 'only clone and fetch', write: 'only clone, fetch and push' } as const;

export const nameOf = (grant: GrantView): string =>
  `${grant.label === '' ? grant.id : grant.label} (${grant.provider} for ${grant.principal === 'system' ? 'every agent' : ownerText(grant)})`;

export function showGrant(cli: Cli, grant: GrantView): void {
  cli.output.record(grant, [
    ['grant', grant.id],
    ['label', grant.label],
    ['owner', grant.principal === 'system' ? '(system: every active agent)' : ownerText(grant)],
    ['provider', grant.provider],
    ['secret', grant.credential],
    ['hosts', grant.hosts.join(', ')],
    ['methods', grant.methods?.join(', ') ?? 'any'],
    ['paths', grant.paths?.join(', ') ?? 'any'],
    ['operations', grant.operations.map(operationText).join('; ') || 'any'],
    ['asks before', grant.approval?.join(', ') ?? 'nothing'],
    ['git', grant.git === null ? null : GIT_WORDS[grant.git]],
    ['never on', grant.excluded_paths.join(', ')],
    ['injects', grant.injects.join(', ')],
    ['override', grant.override],
    ['placeholder', grant.placeholder],
    ['private addresses', grant.allow_private ? 'allowed' : 'refused'],
    ['plain http', grant.allow_plaintext ? 'allowed' : 'refused'],
    ['on other hosts', leaseText(grant)],
    ['bodies kept', bodiesText(grant)],
    ['cookies of answers', grant.pass_response_cookies ? 'passed to the agent' : 'left out'],
    ['status', grant.status],
    ['expires', grant.expires_at],
    ...(grant.oauth === null ? [] : accountFields(grant.oauth)),
  ]);
  if (isLost(grant)) cli.output.hint(`Connect it again: \`alterd connect ${grant.provider} --grant ${grant.id}\`.`);
}

/** Only said where it is not what it is by itself. */
const leaseText = ({ no_cache, offline_grace_ms }: GrantView): string | null => {
  if (no_cache) return 'nothing is kept; asked for each time';
  return offline_grace_ms === 0 ? null : `${offline_grace_ms / 1_000} s after their lease, while the vault is away`;
};

const bodiesText = ({ audit_bodies, audit_body_bytes }: GrantView): string | null =>
  audit_bodies === 'none' ? null : `${audit_bodies}, up to ${audit_body_bytes} bytes each`;

export const isLost = (grant: GrantView): boolean => grant.status === 'active' && grant.oauth?.state === 're_auth_required';

const accountFields = (oauth: OAuthView): [string, string | null][] => [
  ['account', oauth.account_name ?? oauth.account_id],
  ['scopes', oauth.scopes.join(' ')],
  ['connected by', oauth.flow.replaceAll('_', ' ')],
  ['token ends', oauth.token_expires_at],
  ['tokens', oauth.state === 'ok' ? 'ok' : `${oauth.state.replaceAll('_', ' ')}: ${oauth.reason ?? ''}`],
];

/** `graphql query on /graphql`. */
const operationText = ({ kind, at, allow }: OperationRule): string =>
  `${kind === 'graphql' ? 'graphql' : 'rpc'} ${allow.join(', ')}${at === null ? '' : ` on ${at.join(', ')}`}`;
