/**
 * Step 3 of the line once more, where a grant rules operations or a policy is about bodies: holds the body and rules on what it runs.
 * Answers the request with its body held, which is then the only body that can be sent. Must never let a request on whose body was
 * not ruled on.
 */
import { AlterError } from '../domain/errors.ts';
import type { Grant } from '../domain/grant.ts';
import { type CompiledOperationRule, decideOperations } from '../policy/operations.ts';
import type { RequestTarget } from '../policy/path.ts';
import type { BodyFacts } from '../policy/policy-body.ts';
import { bodyText } from '../policy/request-body.ts';
import { holdBody } from './held-body.ts';
import type { AgentReply, AgentRequest } from './message.ts';

interface Admitted {
  readonly facts: { readonly target: RequestTarget };
  readonly grant: Grant | null;
  readonly operations: readonly CompiledOperationRule[];
}

/** What the row of the request says of it. */
interface Noted {
  rule: string | null;
  operations: string | null;
  /** The body as the policies read it. */
  body: BodyFacts | null;
}

/** @throws AlterError policy_violation; BodyAborted */
export async function readOperations(
  plane: { readonly ruleBodyBytes: number },
  request: AgentRequest,
  reply: AgentReply,
  { facts, grant, operations }: Admitted,
  noted: Noted,
): Promise<AgentRequest> {
  const limitBytes = plane.ruleBodyBytes;
  const held = await holdBody(request, reply, limitBytes);
  const head = {
    contentType: joined(request.headers, 'content-type'),
    contentEncoding: joined(request.headers, 'content-encoding'),
  };
  const heldBytes = { bytes: held?.body.bytes ?? null, limitBytes };
  noted.body = bodyText(head, heldBytes);
  if (operations.length === 0) {
    // SECURITY: the policies are asked with what was held, and a body that was not held may not be sent (S-90).
    if (held === null) throw unheld(limitBytes);
    return held;
  }
  const verdict = decideOperations(grant as Grant, operations, { target: facts.target, head, held: heldBytes });
  noted.operations = verdict.operations;
  noted.rule = 'grant.operations';
  // SECURITY: without a held body there is nothing that was ruled on, so nothing may go (S-90).
  if (verdict.error !== null || held === null) throw verdict.error ?? new AlterError('internal_error', {});
  return held;
}

const unheld = (limitBytes: number): AlterError =>
  new AlterError('policy_violation', {
    policy_error: 'evaluation_failed',
    rule: 'policy.body',
    reason: `A policy is about the body of this request, which is longer than the ${limitBytes} bytes that a rule reads.`,
  });

/** All values of a header; null when it is absent. */
function joined(headers: readonly string[], name: string): string | null {
  const values = headers.filter((_value, i) => i % 2 === 1 && (headers[i - 1] as string).toLowerCase() === name);
  return values.length === 0 ? null : values.join(', ');
}
