/** What the parts of the data plane share: made once by the composition root, never a place for behaviour. */

import type { CallerIdentity } from '../domain/agent.ts';
import type { ApprovalPort } from '../domain/approval.ts';
import type { AuditPort } from '../domain/audit.ts';
import type { AlterError } from '../domain/errors.ts';
import type { Grant } from '../domain/grant.ts';
import type { UserPort } from '../domain/user-port.ts';
import type { VaultPort } from '../domain/vault-port.ts';
import type { AuthorityView } from './authority-view.ts';
import type { Resolver } from './egress/resolver.ts';
import type { Http1Limits } from './http1/agent-http1.ts';
import type { PlaceholderAlarms } from './placeholder-alarms.ts';
import type { Policies } from './policies.ts';
import type { Roster } from './roster.ts';
import type { Sweeper } from './sweeper.ts';
import type { Dialer } from './upstream/dial.ts';
import type { PoolLimits } from './upstream/pool.ts';
import type { PoolRegistry } from './upstream/registry.ts';

/** The daemon's log, as far as the data plane needs it: fixed messages with fields, never request content. */
export interface DataPlaneLog {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** An exchange under way, or a pipe that outlives its request: closed when what allowed it ends. */
export interface LiveConnection {
  readonly caller: CallerIdentity;
  /** For whom; null when nobody said. */
  readonly userId: string | null;
  readonly grant: Grant | null;
  destroy(why: 'ended' | 'stopping'): void;
}

export interface DataPlane {
  readonly vault: VaultPort;
  readonly users: UserPort;
  readonly audit: AuditPort;
  readonly authority: AuthorityView;
  readonly policies: Policies;
  readonly pools: PoolRegistry;
  readonly resolver: Resolver;
  readonly dialer: Dialer;
  readonly sweeper: Sweeper;
  readonly log: DataPlaneLog;
  readonly limits: Http1Limits;
  readonly poolLimits: PoolLimits;
  readonly tunnelHandshakeMs: number;
  readonly maxTunnels: number;
  readonly maxTunnelsPerAgent: number;
  readonly egress: 'tunnel' | 'refuse' | 'ask';
  readonly approvals: ApprovalPort;
  readonly approvalHoldMs: number;
  readonly requirePeerUid: boolean;
  readonly ruleBodyBytes: number;
  /** Marks requests that went through this daemon to an upstream proxy. */
  readonly loopNonce: string;
  readonly live: Roster<LiveConnection>;
  readonly alarms: PlaceholderAlarms;
  /** A refusal with what only the whole daemon knows of it, such as where an account is connected again. */
  readonly explained?: (error: AlterError) => Promise<AlterError>;
}
