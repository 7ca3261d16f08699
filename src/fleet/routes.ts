/** Every route of the fleet API. */
import { auditRoutes } from './audit-routes.ts';
import { type BundleDeps, bundleRoutes } from './bundle-routes.ts';
import type { FleetDeps } from './deps.ts';
import { enrollRoutes } from './enroll-routes.ts';
import { healthRoutes } from './health-routes.ts';
import { HostStreams } from './host-streams.ts';
import { HostViews } from './host-views.ts';
import { materialRoutes } from './material-routes.ts';
import { quotaRoutes } from './quota-routes.ts';
import type { FleetRoute } from './route.ts';

/** @param lending what is made once for all of them */
export const fleetRoutes = (deps: FleetDeps, lending: Lending = openLending(deps)): FleetRoute[] => [
  ...enrollRoutes(deps),
  ...bundleRoutes({ ...deps, ...lending }),
  ...materialRoutes({ ...deps, ...lending }),
  ...auditRoutes(deps),
  ...quotaRoutes({ ...deps, ...lending }),
  ...healthRoutes(deps),
];

export type Lending = Pick<BundleDeps, 'views' | 'streams'>;

/** Views and streams over a vault. */
export function openLending({ vault }: Pick<FleetDeps, 'vault'>): Lending {
  const views = new HostViews(() => vault.rows);
  const streams = new HostStreams({
    ...{ views, hosts: vault.hosts, epoch: () => vault.epoch, isFresh: () => vault.isFresh },
    onChange: (listener) => vault.onAuthorityChange(listener),
  });
  return { views, streams };
}
