/**
 * `/v1/approvals`: what waits for a person, and the decisions. The socket belongs to the operator; no key of an agent opens it, and
 * where issuers say who people are, whoever decides has signed in (S-94). The agent's own words are in `agent_says` and `body_preview` alone.
 */
import { Hono } from 'hono';
import { stream } from 'hono/streaming';
import * as z from 'zod';
import type { Approval } from '../domain/approval.ts';
import { AlterError } from '../domain/errors.ts';
import type { PermitTerm } from '../domain/permit.ts';
import { userLabel } from '../domain/user.ts';
import type { Approver } from '../vault/approvals.ts';
import type { ApiDeps } from './deps.ts';
import { readOptionalBody, readQuery } from './input.ts';

export interface ApprovalView {
  readonly id: string;
  readonly status: Approval['status'];
  readonly agent: string;
  readonly session_id: string | null;
  /** For whom the request is made, proved by a token or a session. */
  readonly user_id: string | null;
  readonly user: string | null;
  readonly uid: number | null;
  readonly pid: number | null;
  readonly executable: string | null;
  readonly grant_id: string | null;
  readonly grant_label: string | null;
  readonly provider: string | null;
  readonly credential: string | null;
  readonly rule: string;
  readonly method: string;
  readonly origin: string;
  readonly path: string | null;
  readonly query_keys: readonly string[];
  readonly content_type: string | null;
  readonly body_bytes: number;
  readonly body_sha256: string | null;
  readonly waiting: number;
  readonly created_at: string;
  readonly expires_at: string;
  readonly decided_at: string | null;
  readonly decided_by: string | null;
  /** The agent's words. */
  readonly agent_says: { readonly reason: string | null; readonly run_id: string | null; readonly tool: string | null };
  readonly body_preview: string | null;
}

const iso = (at: number): string => new Date(at).toISOString();

export const approvalView = (a: Approval): ApprovalView => ({
  id: a.id,
  status: a.status,
  agent: a.agent,
  session_id: a.sessionId,
  user_id: a.userId,
  user: a.user,
  uid: a.uid,
  pid: a.pid,
  executable: a.executable,
  grant_id: a.grantId,
  grant_label: a.grantLabel,
  provider: a.providerId,
  credential: a.credential,
  rule: a.rule,
  method: a.method,
  origin: a.origin,
  path: a.path,
  query_keys: a.queryKeys,
  content_type: a.contentType,
  body_bytes: a.bodyBytes,
  body_sha256: a.bodySha256,
  waiting: a.waiting,
  created_at: iso(a.createdAt),
  expires_at: iso(a.expiresAt),
  decided_at: a.decidedAt === null ? null : iso(a.decidedAt),
  decided_by: a.decidedBy,
  agent_says: { reason: a.agentSays.reason, run_id: a.agentSays.runId, tool: a.agentSays.tool },
  body_preview: a.bodyPreview,
});

const MAX_FOR_MS = 30 * 24 * 3_600_000;
/** The handle of a sign-in, as `/v1/login` gave it out. */
const userSession = z.string().max(128).optional();
const approval = z
  .strictObject({
    user_session: userSession,
    for_ms: z.number().int().min(1_000).max(MAX_FOR_MS).nullish(),
    as_rule: z.boolean().optional(),
  })
  .refine((body) => body.as_rule !== true || (body.for_ms ?? null) === null, 'as_rule has no end: leave for_ms out');
const termOf = (body: z.infer<typeof approval>): PermitTerm | null =>
  body.as_rule === true ? 'standing' : (body.for_ms ?? null);
const listing = z.strictObject({ status: z.enum(['pending', 'approved', 'denied', 'expired', 'used', 'cancelled']).optional() });

const denial = z.strictObject({ user_session: userSession });

export function approvalRoutes({ vault, identity, approvals, operator }: ApiDeps): Hono {
  const routes = new Hono();
  const approverOf = (handle: string | undefined): Approver =>
    // Without issuers there are no people to tell apart: whoever owns the socket decides.
    identity.issuers().length === 0 ? operator : signedInApprover({ vault, identity }, handle);

  routes.get('/', (c) => {
    const { status } = readQuery(c, listing);
    const all = approvals.list().filter((each) => status === undefined || each.status === status);
    return c.json({ approvals: all.map(approvalView) });
  });

  /** A line for each change; first what is pending now. */
  routes.get('/watch', (c) => {
    c.header('content-type', 'application/x-ndjson');
    return stream(c, async (out) => {
      const waiting: Approval[] = approvals
        .list()
        .filter((each) => each.status === 'pending')
        .reverse();
      let wake = (): void => {};
      const stop = approvals.onChange((changed) => {
        waiting.push(changed);
        wake();
      });
      out.onAbort(() => wake());
      try {
        await out.write('\n');
        while (!out.aborted) {
          const next = waiting.shift();
          if (next !== undefined) await out.write(`${JSON.stringify(approvalView(next))}\n`);
          else await new Promise<void>((resolve) => (wake = resolve));
        }
      } finally {
        stop();
      }
    });
  });

  routes.get('/:id', (c) => c.json({ approval: approvalView(approvals.find(c.req.param('id'))) }));

  routes.post('/:id/approve', async (c) => {
    const body = await readOptionalBody(c, approval);
    const approver = approverOf(body.user_session);
    return c.json({ approval: approvalView(await approvals.approve(c.req.param('id'), approver, termOf(body))) });
  });

  routes.post('/:id/deny', async (c) => {
    const body = await readOptionalBody(c, denial);
    return c.json({ approval: approvalView(await approvals.deny(c.req.param('id'), approverOf(body.user_session))) });
  });

  return routes;
}

/** @throws AlterError forbidden */
function signedInApprover({ vault, identity }: Pick<ApiDeps, 'vault' | 'identity'>, handle: string | undefined): Approver {
  try {
    if (handle !== undefined) {
      const { userId, issuerName } = identity.sessions.find(handle);
      return { name: `${userLabel(vault.users.find(userId))} (${issuerName})`, userId };
    }
  } catch (thrown) {
    if (!(thrown instanceof AlterError) || (thrown.code !== 're_auth_required' && thrown.code !== 'not_found')) throw thrown;
  }
  // SECURITY: an operator's socket alone does not say which person it is, and it must not be the one for whom the agent asks (S-94).
  throw new AlterError(
    'forbidden',
    { reason: 'Approvals are decided by a person who has signed in' },
    { hint: 'Sign in, then decide: `alterd login`.' },
  );
}
