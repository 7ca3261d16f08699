/**
 * Credential endpoints that stock SDKs ask before they send anything: AWS's for containers, Google's for federated identities. They answer
 * the placeholder of the caller's own grant and nothing else. SECURITY: nothing in this file may come near a vault's material.
 */
import type { CallerIdentity } from '../domain/agent.ts';
import { AlterError } from '../domain/errors.ts';
import type { Grant } from '../domain/grant.ts';
import type { AgentGrants } from '../policy/agent-grants.ts';

export const AWS_STUB_PATH = '/aws/credentials';
export const GOOGLE_STUB_PATH = '/google/token';

/** What SDKs ask again after. A placeholder has no end of its own. */
const LIFE_S = 3_600;

const isAws = (grant: Grant): boolean => grant.injections.some((injection) => injection.in === 'sigv4');
const isGoogle = (grant: Grant): boolean =>
  grant.destinations.some(({ pattern }) => pattern.endsWith('.googleapis.com')) &&
  grant.injections.some((injection) => injection.in === 'header' && injection.name.toLowerCase() === 'authorization');

/**
 * The document for a path and method; null when it is none of these.
 * @throws AlterError grant_not_found, ambiguous_grant
 */
export function stubDocument(
  path: string,
  method: string,
  grants: AgentGrants,
  caller: CallerIdentity,
  now: number,
): object | null {
  if (path === AWS_STUB_PATH && method === 'GET') {
    return {
      AccessKeyId: placeholderOf(grants, isAws, caller, 'AWS', now),
      SecretAccessKey: 'alterd-signs-with-the-real-key',
      Token: '',
      Expiration: `${new Date(now + LIFE_S * 1000).toISOString().slice(0, 19)}Z`,
    };
  }
  if (path !== GOOGLE_STUB_PATH || method !== 'POST') return null;
  return {
    access_token: placeholderOf(grants, isGoogle, caller, 'Google', now),
    issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    token_type: 'Bearer',
    expires_in: LIFE_S,
  };
}

/** Of the one grant that the caller has; of several none, since it would be a guess. */
function placeholderOf(
  grants: AgentGrants,
  isMeant: (grant: Grant) => boolean,
  caller: CallerIdentity,
  what: string,
  now: number,
): string {
  const { grantIds } = caller.narrowing;
  const usable = grants.all.filter(
    (grant) =>
      isMeant(grant) &&
      grants.isUsable(grant, now) &&
      (grantIds === null || grantIds.includes(grant.id)) &&
      grant.placeholder !== null,
  );
  const [only, another] = usable;
  if (only !== undefined && another === undefined) return only.placeholder as string;
  const reason = only === undefined ? `there is no grant for ${what}` : `there are ${usable.length} grants for ${what}`;
  throw new AlterError('policy_violation', {
    policy_error: 'no_single_grant',
    rule: 'internal',
    reason: `No placeholder can be given out: ${reason}. Choose one with \`alterd run --grant\`.`,
  });
}
