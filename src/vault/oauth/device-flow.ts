/** The device grant (RFC 8628): a code to type elsewhere, and polls at the pace that the provider sets. */

import { Secret } from '../../domain/secret.ts';
import { oauthOf, parametersOf } from './endpoints.ts';
import { parseDocument, type TokenAnswer, TokenFailure } from './token-answer.ts';
import type { TokenClient } from './token-client.ts';

export interface DeviceFlow {
  readonly deviceCode: Secret;
  readonly userCode: string;
  readonly verificationUri: string;
  readonly verificationUriComplete: string | null;
  readonly expiresAt: number;
  intervalMs: number;
  nextPollAt: number;
  asking: boolean;
}

const DEFAULT_INTERVAL_S = 5;
const SLOW_DOWN_MS = 5_000;
const LONGEST_LIFE_S = 1_800;

/** @throws TokenFailure */
export async function startDevice(client: TokenClient, scopes: readonly string[], now: number): Promise<DeviceFlow> {
  const { deviceUrl, scopeParameter, scopeSeparator } = oauthOf(client.parts.spec);
  const parameters = scopes.length === 0 ? {} : { [scopeParameter]: scopes.join(scopeSeparator) };
  const answer = await client.post(client.endpoint(deviceUrl!), parameters);
  const document = parseDocument(answer.body.toString('utf8'), answer.contentType);
  const text = (...names: string[]): string | null => {
    const value = names.map((name) => document[name]).find((each) => typeof each === 'string' && each !== '');
    return typeof value === 'string' ? value : null;
  };
  const whole = (name: string, otherwise: number): number => {
    const value = Number(document[name]);
    return Number.isFinite(value) && value > 0 ? value : otherwise;
  };
  const deviceCode = text('device_code');
  const userCode = text('user_code');
  const verificationUri = text('verification_uri', 'verification_url');
  if (answer.status >= 300 || deviceCode === null || userCode === null || verificationUri === null || !isPage(verificationUri)) {
    const code = text('error');
    throw new TokenFailure(
      answer.status >= 500 ? 'transient' : 'setup',
      code !== null && /^[a-z_]{1,64}$/.test(code) ? code : `device_http_${answer.status}`,
    );
  }
  const complete = text('verification_uri_complete', 'verification_url_complete');
  return {
    deviceCode: new Secret(deviceCode),
    userCode: userCode.slice(0, 64),
    verificationUri,
    verificationUriComplete: complete !== null && isPage(complete) ? complete : null,
    expiresAt: now + Math.min(LONGEST_LIFE_S, whole('expires_in', 900)) * 1000,
    intervalMs: Math.min(60, whole('interval', DEFAULT_INTERVAL_S)) * 1000,
    nextPollAt: 0,
    asking: false,
  };
}

/** SECURITY: a person is sent there, perhaps by opening it: no other scheme may be started on their machine. */
const isPage = (text: string): boolean => URL.canParse(text) && /^https:$/.test(new URL(text).protocol);

/** One poll; null while the person has not decided. @throws TokenFailure */
export async function pollDeviceOnce(client: TokenClient, flow: DeviceFlow, now: () => number): Promise<TokenAnswer | null> {
  flow.asking = true;
  try {
    return await client.token({
      ...parametersOf(oauthOf(client.parts.spec).tokenParams, client.parts.fields),
      grant_type: 'urn:ietf:params:oauth:grant-type:device_code',
      device_code: flow.deviceCode.reveal(),
    });
  } catch (thrown) {
    if (!(thrown instanceof TokenFailure) || !['authorization_pending', 'slow_down'].includes(thrown.code)) throw thrown;
    if (thrown.code === 'slow_down') flow.intervalMs += SLOW_DOWN_MS;
    return null;
  } finally {
    flow.asking = false;
    flow.nextPollAt = now() + flow.intervalMs;
  }
}
