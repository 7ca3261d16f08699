/**
 * Who is calling: the agent's key from Proxy-Authorization, checked by the vault. One gate for CONNECT and absolute-form
 * alike (S-77). Must never keep or log the key's text.
 */
import type { CallerIdentity, KeyBinding } from '../domain/agent.ts';
import { AlterError } from '../domain/errors.ts';
import { isInBlock } from '../domain/ip-block.ts';
import type { VaultPort } from '../domain/vault-port.ts';
import { type ProxyLabel, parseProxyLabel } from '../policy/selectors.ts';
import { HeaderKind } from './header-kinds.ts';
import { type AnyFields, HeadError, singleValue } from './http1/head.ts';
import type { Peer } from './peer.ts';

export interface Caller {
  readonly identity: CallerIdentity;
  readonly label: ProxyLabel;
  readonly peer: Peer;
}

/** The user name and the key that a Proxy-Authorization value carries; null when it is of no known form. */
export function parseProxyAuthorization(value: string): { user: string; key: string } | null {
  const space = value.indexOf(' ');
  const scheme = value.slice(0, space).toLowerCase();
  const rest = value.slice(space + 1).trim();
  if (scheme === 'bearer') return { user: '', key: rest };
  if (scheme !== 'basic') return null;
  const pair = Buffer.from(rest, 'base64').toString('utf8');
  const colon = pair.indexOf(':');
  if (colon === -1) return null;
  const user = pair.slice(0, colon);
  const key = pair.slice(colon + 1);
  // `http://KEY@host`: some clients take only a user name.
  return key === '' ? { user: '', key: user } : { user, key };
}

/**
 * The caller of a request head.
 * @throws AlterError caller_unauthenticated, key_revoked, malformed_request, policy_violation, token_binding_mismatch
 */
export function identifyCaller(fields: AnyFields, vault: VaultPort, peer: Peer): Caller {
  let value: string | null;
  try {
    value = singleValue(fields, HeaderKind.proxyAuthorization, 'Proxy-Authorization');
  } catch (thrown) {
    if (thrown instanceof HeadError) throw new AlterError('malformed_request', { reason: thrown.message });
    throw thrown;
  }
  if (value === null) throw new AlterError('caller_unauthenticated', {});
  return callerOf(value, vault, peer);
}

/** The caller of a value like that of Proxy-Authorization. @throws AlterError caller_unauthenticated, key_revoked, policy_violation */
export function callerOf(value: string, vault: VaultPort, peer: Peer): Caller {
  const parsed = parseProxyAuthorization(value);
  if (parsed === null)
    throw new AlterError('caller_unauthenticated', { reason: 'Proxy-Authorization is neither Basic nor Bearer.' });
  const identity = vault.identify(parsed.key);
  // SECURITY: a key bound to a uid is worthless to another user who stole it (S-75).
  if (identity.boundUid !== null && identity.boundUid !== peer.uid) {
    throw new AlterError('policy_violation', {
      policy_error: 'token_uid_mismatch',
      rule: 'key.bound_uid',
      reason: 'This key may be used only by another user of this machine.',
    });
  }
  requireBinding(identity.binding, peer);
  return { identity, label: parseProxyLabel(parsed.user), peer };
}

/** SECURITY: what the kernel does not say is no match: a stolen key must not become good because /proc could not be read (S-75). */
function requireBinding({ unit, executable, cidr }: KeyBinding, peer: Peer): void {
  if (unit !== null && unit !== peer.unit) throw new AlterError('token_binding_mismatch', { binding: 'unit' });
  if (executable !== null && executable !== peer.executable)
    throw new AlterError('token_binding_mismatch', { binding: 'executable' });
  if (cidr !== null && !isInBlock(addressOf(peer), cidr)) throw new AlterError('token_binding_mismatch', { binding: 'cidr' });
}

/** Of `127.0.0.1:PORT` or `::1:PORT` the address; `unix` has none. */
const addressOf = ({ address }: Peer): string => address.slice(0, Math.max(0, address.lastIndexOf(':')));

/** True when only the kernel's word about the peer was missing, which costs too much to ask for on every socket. */
export const needsKernel = (error: AlterError): boolean =>
  (error.details as { policy_error?: string }).policy_error === 'token_uid_mismatch' ||
  (error.code === 'token_binding_mismatch' && (error.details as { binding?: string }).binding !== 'cidr');
