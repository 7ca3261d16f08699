/** Rows to fill a store with. */
import { NO_BINDING, NO_NARROWING } from '../../../src/domain/agent.ts';
import type {
  AgentRow,
  CredentialRow,
  DataKeyRow,
  DelegationRow,
  GrantRow,
  HostRow,
  KeyRow,
  PermitRow,
  PolicyRow,
  PolicySetRow,
  SealedRow,
  UserRow,
} from '../../../src/store/rows.ts';

export const agentRow = (id: string, more: Partial<AgentRow> = {}): AgentRow => ({
  id,
  name: `agent-${id}`,
  status: 'active',
  createdAt: 1,
  type: 'agent',
  providers: null,
  parentId: null,
  metadata: {},
  ...more,
});

export const keyRow = (id: string, agentId: string, more: Partial<KeyRow> = {}): KeyRow => ({
  id,
  agentId,
  hash: `hash-${id}`,
  prefix: `alter_key_agent_${id}`,
  status: 'active',
  createdAt: 1,
  expiresAt: null,
  lastUsedAt: null,
  boundUid: null,
  binding: NO_BINDING,
  parentKeyId: null,
  narrowing: NO_NARROWING,
  ...more,
});

export const credentialRow = (id: string, more: Partial<CredentialRow> = {}): CredentialRow => ({
  id,
  name: `secret-${id}`,
  providerId: 'good',
  kind: 'bearer',
  fieldNames: ['token'],
  version: 1,
  createdAt: 1,
  rotatedAt: null,
  lastUsedAt: null,
  injections: null,
  destinations: null,
  publicFields: {},
  ...more,
});

export const grantRow = (id: string, agentId: string | null, credentialId: string, more: Partial<GrantRow> = {}): GrantRow => ({
  id,
  label: '',
  principal: agentId === null ? { type: 'system' } : { type: 'agent', agentId },
  grantKind: 'managed_secret',
  providerId: 'good',
  credentialId,
  destinations: [{ pattern: 'api.good.test', port: 443, scheme: 'https' }],
  methods: null,
  paths: null,
  excludedPaths: [],
  operations: [],
  approval: null,
  overrideMode: 'always',
  placeholder: null,
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
  createdAt: 1,
  revokedAt: null,
  ...more,
});

export const dataKeyRow = (id: string): DataKeyRow => ({ id, wrapped: Buffer.from(`wrapped ${id}`), createdAt: 1 });

export const sealedRow = (credentialId: string, more: Partial<SealedRow> = {}): SealedRow => ({
  credentialId,
  version: 1,
  dataKeyId: 'd1',
  sealed: Buffer.from([0, 1, 2, 255]),
  ...more,
});

export const userRow = (id: string, more: Partial<UserRow> = {}): UserRow => ({
  id,
  issuer: 'https://login.good.test',
  subject: `subject-${id}`,
  email: null,
  name: null,
  groups: [],
  claimsAt: 1,
  status: 'active',
  createdAt: 1,
  lastUsedAt: null,
  ...more,
});

export const delegationRow = (
  id: string,
  userId: string | null,
  agentId: string,
  grantId: string,
  more: Partial<DelegationRow> = {},
): DelegationRow => ({
  id,
  userId,
  agentId,
  grantId,
  status: 'active',
  createdAt: 1,
  expiresAt: null,
  revokedAt: null,
  revokedBy: null,
  ...more,
});

export const policyRow = (id: string, more: Partial<PolicyRow> = {}): PolicyRow => ({
  id,
  name: `policy-${id}`,
  toml: 'name = "p"\n',
  version: 1,
  createdAt: 1,
  updatedAt: 1,
  ...more,
});

export const permitRow = (id: string, agentId: string, grantId: string | null, more: Partial<PermitRow> = {}): PermitRow => ({
  id,
  agentId,
  userId: null,
  grantId,
  delegationId: null,
  rule: 'grant.approval',
  method: 'POST',
  origin: 'https://api.good.test:443',
  path: grantId === null ? null : '/a"\u2028ü',
  approvalId: 'apr_1',
  createdBy: 'somebody',
  createdAt: 1,
  expiresAt: null,
  ...more,
});

export const hostRow = (id: string, more: Partial<HostRow> = {}): HostRow => ({
  id,
  name: `host-${id}`,
  status: 'active',
  inviteHash: `invite-${id}`,
  inviteExpiresAt: null,
  signingKey: 'key',
  sealingKey: null,
  capabilities: ['grants.1', 'a"\u2028ü'],
  version: '1.0.0',
  agentIds: ['a1', 'nobody'],
  systemGrants: false,
  createdAt: 1,
  enrolledAt: null,
  lastUsedAt: null,
  ...more,
});

export const policySetRow = (id: string, more: Partial<PolicySetRow> = {}): PolicySetRow => ({
  id,
  digest: 'd',
  sources: [{ origin: 'file', place: 'a.toml', toml: 'name = "ü\u2028"' }],
  createdAt: 1,
  ...more,
});
