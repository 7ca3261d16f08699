/**
 * Checks an id_token against its issuer: signature by the issuer's published keys, issuer, audience, expiry and our nonce.
 * SECURITY: the issuer comes from the provider file; its own metadata may only name keys, and must name the same issuer.
 */
import type { Secret } from '../../domain/secret.ts';
import { oauthOf } from './endpoints.ts';
import { parseDocument, TokenFailure } from './token-answer.ts';
import type { TokenClient } from './token-client.ts';

const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA'];
const CLOCK_SKEW_S = 60;

/** The claims; null when the provider is no OpenID provider or sent no id_token. @throws TokenFailure */
export async function checkIdToken(
  client: TokenClient,
  idToken: Secret | null,
  nonce: string | null,
): Promise<Readonly<Record<string, unknown>> | null> {
  const { spec, client: own, now } = client.parts;
  const template = oauthOf(spec).issuer;
  if (template === null || idToken === null) return null;
  const issuer = issuerOf(client, template);
  // Loaded with the first id_token: a daemon without OpenID providers needs no JOSE.
  const { createLocalJWKSet, jwtVerify } = await import('jose');
  const keys = createLocalJWKSet((await keySet(client, issuer)) as unknown as Parameters<typeof createLocalJWKSet>[0]);
  try {
    const { payload } = await jwtVerify(idToken.reveal(), keys, {
      issuer,
      audience: own.clientId,
      algorithms: ALGORITHMS,
      clockTolerance: CLOCK_SKEW_S,
      currentDate: new Date(now()),
      requiredClaims: ['sub', 'exp', 'iat'],
    });
    // SECURITY: an id_token of another consent, played into this one, would connect somebody else's account.
    if (nonce !== null && payload.nonce !== nonce) throw new TokenFailure('permanent', 'wrong_nonce');
    return payload;
  } catch (thrown) {
    if (thrown instanceof TokenFailure) throw thrown;
    throw new TokenFailure('permanent', 'id_token_rejected');
  }
}

/** As the issuer writes itself: without a slash at the end of a bare host. */
export function issuerOf(client: TokenClient, template: string): string {
  const filled = client.endpoint(template);
  return template.endsWith('/') ? filled : filled.replace(/\/$/, '');
}

async function keySet(client: TokenClient, issuer: string): Promise<Readonly<Record<string, unknown>>> {
  const metadata = await fetchJson(client, `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`);
  const { jwks_uri: keysUrl } = metadata;
  if (metadata.issuer !== issuer || typeof keysUrl !== 'string' || !URL.canParse(keysUrl))
    throw new TokenFailure('setup', 'wrong_issuer_metadata');
  return fetchJson(client, keysUrl);
}

async function fetchJson(client: TokenClient, url: string): Promise<Readonly<Record<string, unknown>>> {
  const answer = await client.send({ method: 'GET', url, headers: {} });
  if (answer.status !== 200) throw new TokenFailure(answer.status >= 500 ? 'transient' : 'setup', `issuer_http_${answer.status}`);
  return parseDocument(answer.body.toString('utf8'), 'application/json');
}
