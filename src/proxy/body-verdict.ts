/**
 * Step 3 of the line once more, for a grant that rules operations: holds the body and rules on what it runs. Answers the request with
 * its body held, which is then the only body that can be sent. Must never let a request on whose body was not ruled on.
 */
import { AlterError } from '../domain/errors.ts';
import type { Grant } from '../domain/grant.ts';
import { type CompiledOperationRule, decideOperations } from '../policy/operations.ts';
import type { RequestTarget } from '../policy/path.ts';
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
  const verdict = decideOperations(grant as Grant, operations, {
    target: facts.target,
    head: {
      contentType: joined(request.headers, 'content-type'),
      contentEncoding: joined(request.headers, 'content-encoding'),
    },
    held: { bytes: held?.body.bytes ?? null, limitBytes },
  });
  noted.operations = verdict.operations;
  noted.rule = 'grant.operations';
  // SECURITY: without a held body there is nothing that was ruled on, so nothing may go (S-90).
  if (verdict.error !== null || held === null) throw verdict.error ?? new AlterError('internal_error', {});
  return held;
}

/** All values of a header; null when it is absent. */
function joined(headers: readonly string[], name: string): string | null {
  const values = headers.filter((_value, i) => i % 2 === 1 && (headers[i - 1] as string).toLowerCase() === name);
  return values.length === 0 ? null : values.join(', ');
}
