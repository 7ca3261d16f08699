/** What may be said of an agent beside its name, checked. All problems are found at once. */
import type { AgentType } from '../domain/agent.ts';
import { slugProblem } from './names.ts';

export interface AgentOptions {
  readonly type?: AgentType | undefined;
  /** Only grants of these providers count for the agent; null for no limit. */
  readonly providers?: readonly string[] | null | undefined;
  /** Name or id of the agent that this one works under. */
  readonly parent?: string | undefined;
  readonly metadata?: Readonly<Record<string, string>> | undefined;
}

const METADATA_MAX_BYTES = 8 * 1024;

export function agentProblems({ type, providers, metadata }: AgentOptions): (string | undefined)[] {
  const bytes = Buffer.byteLength(JSON.stringify(metadata ?? {}));
  return [
    type === undefined || type === 'agent' || type === 'service' ? undefined : 'type: must be agent or service',
    ...(providers ?? []).map((provider) => slugProblem('providers', provider)),
    bytes <= METADATA_MAX_BYTES ? undefined : `metadata: has ${bytes} bytes as JSON, and may have ${METADATA_MAX_BYTES}`,
  ];
}
