/**
 * `/v1/host/quotas`: slices of limits that all hosts share.
 * SECURITY: a host draws only for its own agents and for grants in its view, so that it can't use up what others live by.
 */
import { AlterError, problemOf, toAlterError } from '../domain/errors.ts';
import type { FleetHost } from '../domain/fleet-host.ts';
import type { QuotaAskWire, QuotasAnswer, QuotaWire } from '../domain/fleet-wire.ts';
import type { BundleDeps } from './bundle-routes.ts';
import { type FleetRoute, hostRoute } from './route.ts';
import { quotasAnswer, quotasRequest } from './schemas.ts';

export function quotaRoutes({ vault, views, onFault }: BundleDeps): FleetRoute[] {
  const draw = async (host: FleetHost, ask: QuotaAskWire): Promise<QuotaWire> => {
    const { rule, agent_id: agentId, grant_id: grantId, slice_id: id, want, seen } = ask;
    if (!host.agentIds.includes(agentId) || !views.of(host).view.grant.has(grantId))
      throw new AlterError('not_found', { what: 'limit of all hosts', name: rule });
    const settled = ask.settled.map(({ slice_id, used, idle_ms: idleMs }) => ({ id: slice_id, used, idleMs }));
    const { count, validMs, retryMs, version } = await vault.quotas.draw({
      ...{ hostId: host.id, rule, agentId, grantId, id, want, seen, settled },
    });
    return {
      ...{ rule, agent_id: agentId, grant_id: grantId, slice_id: id },
      ...{ count, valid_ms: validMs, retry_ms: retryMs, version },
    };
  };
  return [
    hostRoute({
      method: 'POST',
      path: '/v1/host/quotas',
      summary: 'Draw slices of limits that all hosts share',
      description:
        'Never more is out, or was spent, than the limit lets through. What a host does not give back counts as spent until the end of its slice.',
      body: quotasRequest,
      answers: { 200: { description: 'What may be spent, and what can not be counted and why.', schema: quotasAnswer } },
      errors: [],
      answer: async ({ host, body }) => {
        const quotas: QuotaWire[] = [];
        const failures: { slice_id: string; problem: object }[] = [];
        await Promise.all(
          body.asks.map(async (ask) => {
            try {
              quotas.push(await draw(host, ask));
            } catch (thrown) {
              const error = toAlterError(thrown);
              if (error.code === 'internal_error') onFault(error.cause ?? error, `quota ${ask.rule}`);
              failures.push({ slice_id: ask.slice_id, problem: problemOf(error, error.apiStatus, null) });
            }
          }),
        );
        return { status: 200, body: { quotas, failures } satisfies QuotasAnswer };
      },
    }),
  ];
}
