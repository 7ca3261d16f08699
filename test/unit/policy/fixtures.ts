/** Plain values for policy tests: a grant, a caller and their authority, each with what the test changes. */
import { type CallerIdentity, type Narrowing, NO_BINDING, NO_NARROWING } from '../../../src/domain/agent.ts';
import type { Authority } from '../../../src/domain/authority.ts';
import type { Grant } from '../../../src/domain/grant.ts';

export const NOW = 1_000_000;

export function grantOf(id: string, agentId: string | null, host: string, more: Partial<Grant> = {}): Grant {
  return {
    id,
    label: '',
    principal: agentId === null ? { type: 'system' } : { type: 'agent', agentId },
    grantKind: 'managed_secret',
    providerId: 'good',
    credentialId: `credential-${id}`,
    credentialName: `name-${id}`,
    destinations: [{ pattern: host, port: 443, scheme: 'https' }],
    methods: null,
    paths: null,
    excludedPaths: [],
    operations: [],
    approval: null,
    overrideMode: 'always',
    placeholder: `alter_ph_${id}`,
    injections: [{ in: 'header', name: 'Authorization', template: 'Bearer {token}' }],
    allowPrivate: false,
    allowPlaintext: false,
    passResponseCookies: false,
    noCache: false,
    offlineGraceMs: 0,
    auditBodies: 'none',
    auditBodyBytes: 16_384,
    git: null,
    status: 'active',
    expiresAt: null,
    createdAt: 0,
    revokedAt: null,
    ...more,
  };
}

export function callerOf(agentId: string, narrowing: Partial<Narrowing> = {}): CallerIdentity {
  return {
    agentId,
    agentName: `name-of-${agentId}`,
    keyId: 'key',
    keyPrefix: 'alter_key',
    keyKind: 'agent',
    sessionId: null,
    narrowing: { ...NO_NARROWING, ...narrowing },
    expiresAt: null,
    boundUid: null,
    binding: NO_BINDING,
    userId: null,
    parentAgent: null,
  };
}

export const authorityOf = (...grants: readonly Grant[]): Authority => ({
  version: 1,
  agents: new Map(),
  grants,
  users: new Map(),
  delegations: [],
});
