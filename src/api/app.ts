/**
 * The Vault API as one app: every resource under `/v1`, errors as problem+json.
 * It knows nothing of sockets; who may connect is decided by the permissions of the Unix socket.
 */
import { Hono } from 'hono';
import { AlterError } from '../domain/errors.ts';
import { accessRoutes, reachRoutes } from './access.ts';
import { agentRoutes } from './agents.ts';
import { approvalRoutes } from './approvals.ts';
import { auditRoutes } from './audit.ts';
import { auditBodyRoutes } from './audit-bodies.ts';
import { backupRoutes } from './backup.ts';
import { caRoutes } from './ca.ts';
import { configRoutes, reloadRoutes } from './config.ts';
import { connectRoutes } from './connect.ts';
import { connectSessionRoutes } from './connect-sessions.ts';
import { delegationRoutes } from './delegations.ts';
import type { ApiDeps } from './deps.ts';
import { explainRoutes } from './explain.ts';
import { fleetRoutes } from './fleet.ts';
import { grantRoutes } from './grants.ts';
import { hostRoutes } from './hosts.ts';
import { keyRoutes } from './keys.ts';
import { killRoutes } from './kill.ts';
import { loginRoutes, userSessionRoutes } from './login.ts';
import { masterKeyRoutes } from './master-key.ts';
import { metricsRoutes } from './metrics.ts';
import { permitRoutes } from './permits.ts';
import { policyRoutes } from './policies.ts';
import { problemAnswer } from './problem.ts';
import { providerClientRoutes } from './provider-clients.ts';
import { providerRoutes } from './providers.ts';
import { quotaRoutes } from './quotas.ts';
import { secretRoutes } from './secrets.ts';
import { sessionRoutes } from './sessions.ts';
import { statusRoutes } from './status.ts';
import { exportRoutes, importRoutes } from './transfer.ts';
import { userRoutes } from './users.ts';

/** What belongs to the vault, wherever that is: on a host that borrows it can only be looked at. */
const MANAGED =
  /^\/v1\/(agents|keys|secrets|grants|users|delegations|provider-clients|connect|hosts|kill|export|import|policies\/?$|policies\/[^/]+$)/;
/** Questions that are asked by POST, and change nothing. */
const QUESTIONS: ReadonlySet<string> = new Set(
  ['validate', 'test', 'diff', 'simulate', 'suggest', 'explain'].map((each) => `/v1/policies/${each}`),
);

const isManaged = (method: string, path: string): boolean => method !== 'GET' && MANAGED.test(path) && !QUESTIONS.has(path);

const managedElsewhere = (vaultUrl: string): AlterError =>
  new AlterError('conflict', {
    reason: `This host borrows what it may use from the vault at ${vaultUrl}, so that nothing of it is managed here`,
    hint: 'Run the same command on the machine of the vault; `alterd status` says how this host gets on with it.',
  });

/** The app over these rooms. */
export function createApi(deps: ApiDeps): Hono {
  const app = new Hono();

  app.use(async (c, next) => {
    // SECURITY: only a browser sends Origin; no page may drive this API through something that forwards to the socket.
    if (c.req.header('origin') !== undefined) throw new AlterError('forbidden', { reason: 'requests of web pages are refused' });
    await next();
    c.header('cache-control', 'no-store');
  });
  app.use(async (c, next) => {
    if (deps.managedAt !== undefined && isManaged(c.req.method, c.req.path)) throw managedElsewhere(deps.managedAt);
    await next();
  });
  app.route('/v1/status', statusRoutes(deps));
  app.route('/v1/kill', killRoutes(deps));
  app.route('/v1/backup', backupRoutes(deps));
  app.route('/v1/export', exportRoutes(deps));
  app.route('/v1/import', importRoutes(deps));
  app.route('/v1/agents', agentRoutes(deps));
  app.route('/v1/keys', keyRoutes(deps));
  app.route('/v1/sessions', sessionRoutes(deps));
  app.route('/v1/secrets', secretRoutes(deps));
  app.route('/v1/grants', grantRoutes(deps));
  app.route('/v1/hosts', hostRoutes(deps));
  app.route('/v1/quotas', quotaRoutes(deps));
  app.route('/v1/fleet', fleetRoutes(deps));
  app.route('/v1/users', userRoutes(deps));
  app.route('/v1/login', loginRoutes(deps));
  app.route('/v1/user-session', userSessionRoutes(deps));
  app.route('/v1/delegations', delegationRoutes(deps));
  app.route('/v1/access', accessRoutes(deps));
  app.route('/v1/reach', reachRoutes(deps));
  app.route('/v1/policies', policyRoutes(deps));
  app.route('/v1/providers', providerRoutes(deps));
  app.route('/v1/approvals', approvalRoutes(deps));
  app.route('/v1/permits', permitRoutes(deps));
  app.route('/v1/provider-clients', providerClientRoutes(deps));
  app.route('/v1/connect/sessions', connectSessionRoutes(deps));
  app.route('/v1/connect', connectRoutes(deps));
  app.route('/v1/audit', auditRoutes(deps));
  app.route('/v1/audit', auditBodyRoutes(deps));
  app.route('/v1/metrics', metricsRoutes(deps));
  app.route('/v1/explain', explainRoutes(deps));
  app.route('/v1/ca', caRoutes(deps));
  app.route('/v1/master-key', masterKeyRoutes(deps));
  app.route('/v1/config', configRoutes(deps));
  app.route('/v1/reload', reloadRoutes(deps));

  app.notFound((c) =>
    problemAnswer(new AlterError('not_found', { what: 'resource', name: `${c.req.method} ${c.req.path}` }), deps.onFault),
  );
  app.onError((error) => problemAnswer(error, deps.onFault));
  return app;
}
