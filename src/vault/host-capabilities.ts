/**
 * What a daemon is able to enforce, by name. A vault gives a host no grant with a rule that the host's daemon does not know: it would
 * leave the rule out, and let more pass than was granted. A rule that is added to grants gets a name here, in the same change. Pure.
 */
import type { AgentRow, GrantRow, PolicySetRow } from '../store/rows.ts';
import { isUnderSharedLimit } from './shared-rules.ts';

/** Of this version of alterd. */
export const HOST_CAPABILITIES: readonly string[] = [
  'grants.1',
  'grants.approval',
  'grants.client_certificate',
  'grants.git',
  'grants.hmac',
  'grants.hmac_query',
  'grants.jwt',
  'grants.no_cache',
  'grants.offline_grace',
  'grants.operations',
  'grants.people',
  'grants.requests',
  'grants.sigv4',
  'limits.fleet',
  'policies.1',
];

const INJECTED: Readonly<Record<string, string>> = {
  sigv4: 'grants.sigv4',
  hmac: 'grants.hmac',
  jwt: 'grants.jwt',
  client_certificate: 'grants.client_certificate',
};

/** What a daemon has to know to use this grant as it is meant. */
function capabilitiesOf(grant: GrantRow): readonly string[] {
  const needed = ['grants.1'];
  if (grant.approval !== null) needed.push('grants.approval');
  if (grant.git !== null) needed.push('grants.git');
  if (grant.operations.length > 0) needed.push('grants.operations');
  if (grant.noCache) needed.push('grants.no_cache');
  if (grant.principal.type === 'user' || grant.principal.type === 'group') needed.push('grants.people');
  // A daemon that knows no grace ends the grant sooner, which is no harm.
  for (const injection of grant.injections) {
    const name = INJECTED[injection.in];
    if (name !== undefined) needed.push(name);
    if (injection.in === 'hmac' && (injection.query !== undefined || injection.when !== undefined))
      needed.push('grants.hmac_query');
    if ('requests' in injection && injection.requests !== undefined) needed.push('grants.requests');
  }
  return needed;
}

/**
 * What it has to know besides while policies are in force: a daemon that has none of them would let pass what they deny.
 * @param agents those of the host
 */
export function neededCapabilities(
  grant: GrantRow,
  policies: Pick<PolicySetRow, 'sources'> | null,
  agents: readonly Pick<AgentRow, 'id' | 'name'>[],
): readonly string[] {
  if (policies === null || policies.sources.length === 0) return capabilitiesOf(grant);
  const needed = [...capabilitiesOf(grant), 'policies.1'];
  // SECURITY: a daemon that counts for itself alone would let each host have the whole limit.
  if (isUnderSharedLimit(grant, policies.sources, agents)) needed.push('limits.fleet');
  return needed;
}
