/** Audit events of Connect sessions. They name the session, its agent and its providers; never a token, a ticket, a code or a state. */
import type { AuditClosing, AuditOpening } from '../domain/audit.ts';
import { BLANK_EVENT } from '../domain/audit-event.ts';
import type { ConnectSession } from './connect-sessions.ts';

export type ConnectAction =
  | 'connect.session_created'
  | 'connect.session_redeemed'
  | 'connect.session_refused'
  | 'connect.session_completed'
  | 'connect.session_cancelled'
  | 'connect.failed';

/** @param about the provider that the event is about, and what went wrong there, in alterd's own words. */
export function connectEvent(
  session: ConnectSession,
  action: ConnectAction,
  at: number,
  about: { readonly provider?: string; readonly reason?: string } = {},
): AuditOpening {
  const { request } = session;
  return {
    ...BLANK_EVENT,
    at,
    action,
    agent: request.agent,
    user_id: request.user?.id ?? null,
    user: request.user?.name ?? null,
    grant_label: request.label,
    provider_id: about.provider ?? (request.providers.length === 1 ? (request.providers[0] ?? null) : null),
    details: {
      ...(action === 'connect.session_created' ? metadataOf(request.metadata) : {}),
      connect_session: session.id,
      providers: request.providers.join(' '),
      ...(about.reason === undefined ? {} : { reason: about.reason }),
      allowed_origin: request.allowedOrigin,
      grants: session.connected.map((each) => each.grantId).join(' ') || null,
    },
  };
}

/** Under a prefix, so that an application's word is never read as alterd's own. */
const metadataOf = (metadata: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(metadata).map(([name, value]) => [`metadata.${name}`, value]));

export const connectEventEnd = (error: string | null): AuditClosing => ({
  outcome: error === null ? 'success' : 'refused',
  status: null,
  error,
  latency_ms: 0,
  bytes_in: 0,
  bytes_out: 0,
});
