/** `/healthz` and `/readyz`: whether the process lives, and whether it can serve. They say nothing of what is in the vault. */
import type { HealthAnswer, ReadyAnswer } from '../domain/fleet-wire.ts';
import type { FleetDeps } from './deps.ts';
import { type FleetRoute, openRoute } from './route.ts';
import { healthAnswer, readyAnswer } from './schemas.ts';

/** A database that is slower than that is no use to hosts. */
const PATIENCE_MS = 2_000;

export function healthRoutes(deps: FleetDeps): FleetRoute[] {
  return [
    openRoute({
      method: 'GET',
      path: '/healthz',
      summary: 'Whether the process lives',
      answers: { 200: { description: 'It does.', schema: healthAnswer } },
      errors: [],
      answer: () => ({ status: 200, body: { status: 'ok' } satisfies HealthAnswer }),
    }),
    openRoute({
      method: 'GET',
      path: '/readyz',
      summary: 'Whether the database answers and opens',
      description:
        'The master key is missing once another replica has put one in force that this one was not given; its log names where to put it.',
      answers: {
        200: { description: 'Hosts can be served.', schema: readyAnswer },
        503: { description: 'They can not.', schema: readyAnswer },
      },
      errors: [],
      answer: async () => {
        const body = await readiness(deps);
        return { status: body.status === 'ready' ? 200 : 503, body };
      },
    }),
  ];
}

/** Never throws. */
export async function readiness({ vault }: Pick<FleetDeps, 'vault'>): Promise<ReadyAnswer> {
  const { promise: patience, timer } = after(PATIENCE_MS);
  const isThere = await Promise.race([
    vault.ping().then(
      () => true,
      () => false,
    ),
    patience,
  ]);
  clearTimeout(timer);
  const isOpen = !vault.isLocked;
  return {
    // One that answers may still be one that this replica can't follow: it went back, or was changed by something else.
    status: isThere && isOpen && vault.isFresh ? 'ready' : 'unready',
    epoch: vault.epoch,
    database: isThere ? 'ok' : 'unreachable',
    master_key: isOpen ? 'ok' : 'missing',
  };
}

function after(ms: number): { readonly promise: Promise<false>; readonly timer: NodeJS.Timeout } {
  let timer: NodeJS.Timeout | undefined;
  const promise = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), ms);
  });
  return { promise, timer: timer as NodeJS.Timeout };
}
