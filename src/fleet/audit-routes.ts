/**
 * `/v1/host/audit`: the rows of a host's journal, in order and at least once. The vault knows how far it has got; the host keeps no place.
 * SECURITY: a host writes to its own journals alone, whatever it says.
 */
import { BLANK_EVENT } from '../domain/audit-event.ts';
import { toAlterError } from '../domain/errors.ts';
import type { FleetHost } from '../domain/fleet-host.ts';
import type { FleetDeps } from './deps.ts';
import { acceptShipment } from './host-audit.ts';
import { type FleetRoute, hostRoute } from './route.ts';
import { auditAnswer, auditRequest } from './schemas.ts';

const MAX_BODY_BYTES = 8 * 1024 * 1024;
const ENDED = { outcome: 'success', status: null, error: null, latency_ms: 0, bytes_in: 0, bytes_out: 0 } as const;

export function auditRoutes({ vault, audit, now = Date.now }: FleetDeps): FleetRoute[] {
  /** A host sends its rows again and again while one is wrong: said once for each reason. */
  const told = new Map<string, string>();
  const record = async (host: FleetHost, action: string, details: Record<string, string | number>): Promise<void> => {
    const text = `${action} ${JSON.stringify(details)}`;
    if (told.get(host.id) === text) return;
    told.set(host.id, text);
    await audit.record({ ...BLANK_EVENT, action, at: now(), details: { host: host.name, ...details } }, ENDED);
  };
  return [
    hostRoute({
      method: 'POST',
      path: '/v1/host/audit',
      summary: "Send rows of the host's journal",
      description:
        'Lines as `alterd audit export` writes them, in order. Rows that are kept already are left out. No line: how far the vault has got.',
      body: auditRequest,
      maxBodyBytes: MAX_BODY_BYTES,
      answers: { 200: { description: 'The last row that is kept; 0 before the first.', schema: auditAnswer } },
      errors: ['conflict', 'audit_unavailable'],
      answer: async ({ host, body }) => {
        const of = { hostId: host.id, chain: body.chain };
        try {
          const { upTo, gapBefore } = await acceptShipment(vault.hostAudit, of, body, now());
          if (gapBefore !== null) await record(host, 'host.audit_gap', { row: gapBefore });
          return { status: 200, body: { accepted_up_to: upTo } };
        } catch (thrown) {
          const error = toAlterError(thrown);
          if (error.code === 'conflict')
            await record(host, 'host.audit_refused', { reason: `${(error.details as { reason?: string }).reason}` });
          throw error;
        }
      },
    }),
  ];
}
