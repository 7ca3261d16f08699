/** The part of the data plane that follows from the configuration alone; made anew on each reload. */
import { readFileSync } from 'node:fs';
import type { Config } from '../config/schema.ts';
import { AlterError } from '../domain/errors.ts';
import { Secret } from '../domain/secret.ts';
import type { DataPlane } from './data-plane.ts';
import { Resolver } from './egress/resolver.ts';
import { Dialer } from './upstream/dial.ts';
import { RevocationLists } from './upstream/revocation.ts';

export type PlaneSettings = Pick<
  DataPlane,
  | 'resolver'
  | 'dialer'
  | 'limits'
  | 'poolLimits'
  | 'tunnelHandshakeMs'
  | 'maxTunnels'
  | 'maxTunnelsPerAgent'
  | 'egress'
  | 'requirePeerUid'
  | 'ruleBodyBytes'
  | 'approvalHoldMs'
>;

/** @throws AlterError invalid_input when a file that the configuration names can't be read */
export function planeSettings(
  config: Config,
  own: { readonly loopNonce: string; readonly ownPorts: () => readonly number[] },
): PlaneSettings {
  const { timeouts, limits, upstream } = config;
  const shared = { headBytes: limits.headBytes, headers: limits.headers, bodyIdleMs: timeouts.bodyIdleMs };
  const auth =
    upstream.proxyAuthFile === null ? null : new Secret(readNamed(upstream.proxyAuthFile, 'upstream.proxy_auth_file').trim());
  return {
    resolver: new Resolver({ overrides: upstream.resolve, allowPrivate: config.allowPrivate, ownPorts: own.ownPorts }),
    dialer: new Dialer({
      extraCa: upstream.caFile === null ? null : readNamed(upstream.caFile, 'upstream.ca_file'),
      revocations:
        upstream.crlFile === null
          ? null
          : RevocationLists.parse(readNamed(upstream.crlFile, 'upstream.crl_file'), upstream.crlFile),
      proxy: upstream.proxy === null ? null : { ...upstream.proxy, auth, loopNonce: own.loopNonce },
      connectMs: timeouts.connectMs,
      handshakeMs: timeouts.tlsHandshakeMs,
    }),
    limits: { ...shared, clientHeadMs: timeouts.clientHeadMs, clientIdleMs: timeouts.clientIdleMs },
    poolLimits: {
      ...shared,
      responseHeadMs: timeouts.responseHeadMs,
      idleMs: timeouts.upstreamIdleMs,
      maxSockets: limits.upstreamPerDestination,
    },
    tunnelHandshakeMs: timeouts.tlsHandshakeMs,
    maxTunnels: limits.tunnels,
    maxTunnelsPerAgent: limits.tunnelsPerAgent,
    egress: config.egress,
    requirePeerUid: config.identity.requirePeerUid,
    ruleBodyBytes: limits.ruleBodyBytes,
    approvalHoldMs: config.approvals.holdMs,
  };
}

function readNamed(file: string, key: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw new AlterError(
      'invalid_input',
      { problems: [`${key}: ${file} can't be read (${(cause as NodeJS.ErrnoException).code})`] },
      { cause },
    );
  }
}
