/** Every route of the fleet API. */
import { bundleRoutes } from './bundle-routes.ts';
import type { FleetDeps } from './deps.ts';
import { enrollRoutes } from './enroll-routes.ts';
import { healthRoutes } from './health-routes.ts';
import type { FleetRoute } from './route.ts';

export const fleetRoutes = (deps: FleetDeps): FleetRoute[] => [
  ...enrollRoutes(deps),
  ...bundleRoutes(deps),
  ...healthRoutes(deps),
];
