/**
 * Why no grant is used, in words for the agent, with the command that would help. Must only ever name grants that this
 * agent may use, and what the agent itself sent.
 */
import type { CallerIdentity } from '../domain/agent.ts';
import type { Destination } from '../domain/destination.ts';
import { AlterError } from '../domain/errors.ts';
import type { Grant } from '../domain/grant.ts';
import { matchesHostPattern } from '../domain/host.ts';
import type { Selectors } from '../domain/selectors.ts';
import { type AgentGrants, isOfPeople, isUsable, type Matched } from './agent-grants.ts';

/** What a grant is chosen from, for whom and when. */
export interface Choice {
  readonly grants: AgentGrants;
  readonly matched: Matched;
  /** What the session leaves of the matched ones. */
  readonly inSession: readonly Grant[];
  /** What selectors and placeholder leave of those. */
  readonly selected: readonly Grant[];
  readonly caller: CallerIdentity;
  readonly destination: Destination;
  readonly now: number;
  readonly userId: string | null;
}

/** @param all every grant of the agent, wherever it leads */
export function wrongPlaceholder(all: readonly Grant[], placeholder: string, destination: Destination): AlterError {
  const grant = all.find((each) => each.placeholder === placeholder);
  // SECURITY: the placeholder of another agent's grant must look like one that nobody ever minted.
  if (grant === undefined) {
    return new AlterError(
      'policy_violation',
      {
        policy_error: 'unknown_placeholder',
        rule: 'placeholder',
        reason: 'The credential in this request is a placeholder that is not known for this agent, so it was not forwarded.',
      },
      { hint: "Use the placeholder of one of the agent's grants; `alterd grant list` shows them." },
    );
  }
  return new AlterError(
    'policy_violation',
    {
      policy_error: 'placeholder_wrong_host',
      rule: 'placeholder',
      grant_id: grant.id,
      reason: `The placeholder in this request belongs to grant ${grant.id}, which does not cover ${JSON.stringify(destination.authority)}.`,
    },
    { hint: `See which hosts the grant covers: \`alterd grant show ${grant.id}\`.` },
  );
}

/** @param inSession the grants for the destination that the session leaves */
export function notSelected(
  inSession: readonly Grant[],
  selectors: Selectors,
  caller: CallerIdentity,
  destination: Destination,
): AlterError {
  const host = JSON.stringify(destination.host);
  if (inSession.length === 0) {
    return new AlterError(
      'grant_not_found',
      { host: destination.host, agent: caller.agentName, reason: `The session of this key includes no grant for ${host}.` },
      { hint: 'Start the command with a grant that covers the host: `alterd run --grant ID -- COMMAND`.' },
    );
  }
  const wanted = [
    selectors.grantId === null ? null : `id ${JSON.stringify(selectors.grantId)}`,
    selectors.label === null ? null : `label ${JSON.stringify(selectors.label)}`,
    selectors.account === null ? null : `account ${JSON.stringify(selectors.account)}`,
  ].filter((each) => each !== null);
  const choice = inSession.map((grant) => `${grant.id} (${grant.label || grant.credentialName})`).join(', ');
  return new AlterError(
    'grant_not_found',
    {
      host: destination.host,
      agent: caller.agentName,
      reason: `No grant of this agent for ${host} has ${wanted.length === 0 ? 'this placeholder in this session' : wanted.join(' and ')}.`,
    },
    { hint: `Select one of: ${choice}.` },
  );
}

/** Several users delegated to the agent and nothing says for whom it calls. `ranked` is what it could have meant. */
export function severalUsers({ destination, caller }: Choice, ranked: readonly Grant[]): AlterError {
  return new AlterError(
    'ambiguous_grant',
    { host: destination.host, candidates: ranked.map((grant) => ({ grant_id: grant.id, label: grant.label })) },
    {
      hint: `Say for which user the agent calls: the header Alter-User-Token, a session of that user (POST /v1/sessions), or \`alterd run --user --agent ${caller.agentName} -- COMMAND\`.`,
    },
  );
}

function notDelegated({ caller, destination, userId }: Choice, reason?: string): AlterError {
  return new AlterError('no_delegated_grant', {
    host: destination.host,
    agent: caller.agentName,
    agent_id: caller.agentId,
    ...(userId === null ? {} : { user_id: userId }),
    ...(reason === undefined ? {} : { reason }),
  });
}

/** @param choice of which nothing that is selected can be used */
export function noGrantLeft(choice: Choice): AlterError {
  const { grants, matched, selected, caller, destination, now, userId } = choice;
  // The newest grant is the one that people remember.
  const latest = selected.reduce<Grant | null>(
    (best, grant) => (best === null || grant.createdAt >= best.createdAt ? grant : best),
    null,
  );
  // The grant is good, so what leads to it is not: its delegation has ended, or its user is not active.
  if (latest !== null && isOfPeople(latest) && isUsable(latest, now))
    return notDelegated(choice, `What let this agent use grant ${latest.id} has ended.`);
  if (latest !== null)
    return new AlterError(latest.status === 'revoked' ? 'grant_revoked' : 'grant_expired', { grant_id: latest.id });
  if (matched.httpsOnly !== null) {
    const grantId = matched.httpsOnly.id;
    return new AlterError(
      'policy_violation',
      {
        policy_error: 'plaintext_injection',
        rule: 'grant.allow_plaintext',
        grant_id: grantId,
        reason: `The credential of grant ${grantId} does not go out over plain http.`,
      },
      {
        hint: `Use https://${destination.host}, or an operator creates a grant with \`alterd grant create … --allow-plaintext\`.`,
      },
    );
  }
  const { host, port } = destination;
  if (matched.otherPorts.length > 0) {
    return new AlterError(
      'grant_not_found',
      {
        host,
        agent: caller.agentName,
        reason: `The grants of this agent for ${JSON.stringify(host)} cover port ${matched.otherPorts.join(', ')}, not ${destination.scheme} on port ${port}.`,
      },
      {
        hint: `An operator names the port: \`alterd grant create PROVIDER --agent ${caller.agentName} --host ${host}:${port}\`.`,
      },
    );
  }
  if (grants.outOfScope.some((grant) => grant.destinations.some(({ pattern }) => matchesHostPattern(pattern, host)))) {
    return new AlterError(
      'policy_violation',
      {
        policy_error: 'agent_scope_not_allowed',
        rule: 'agent.providers',
        reason: `Agent ${JSON.stringify(caller.agentName)} is limited to some providers, and none of them serves ${JSON.stringify(host)}.`,
      },
      { hint: `An operator looks at the limit: \`alterd agent show ${caller.agentName}\`.` },
    );
  }
  // Said of every host alike: whether this user has a grant at all is not the agent's to know.
  if (userId !== null) return notDelegated(choice);
  return new AlterError('grant_not_found', { host, agent: caller.agentName });
}
