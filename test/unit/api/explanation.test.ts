import { spawnSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { explanationOf } from '../../../src/api/explanation.ts';
import { shellWord } from '../../../src/api/shell-word.ts';
import type { GrantView } from '../../../src/api/views.ts';
import type { AuditEntry } from '../../../src/domain/audit.ts';
import { ERRORS, type ErrorCode } from '../../../src/domain/errors.ts';

const entry = (changes: Partial<AuditEntry> = {}): AuditEntry => ({
  request_id: 'req_1',
  n: 1,
  kind: 'exchange',
  at: 0,
  closed_at: 5,
  hash: 'h',
  action: 'api.call',
  agent_id: 'a-1',
  agent: 'research-bot',
  key_id: 'k-1',
  key_prefix: 'alter_key_agent_abc',
  session_id: null,
  caller: null,
  uid: null,
  pid: null,
  executable: null,
  peer: null,
  grant_id: 'g-1',
  grant_label: 'reader',
  provider_id: 'github',
  credential: 'github',
  principal_type: 'agent',
  parent_agent: null,
  user_id: null,
  user: null,
  group: null,
  delegation_id: null,
  scheme: 'https',
  host: 'api.github.com',
  port: 443,
  method: 'GET',
  path: '/user',
  query_keys: [],
  protocol: 'HTTP/1.1',
  decision: 'allow',
  rule: 'grant.methods',
  error: null,
  policy_error: null,
  policy_version: 1,
  trace_id: null,
  parent_span_id: null,
  reason: null,
  run_id: null,
  thread_id: null,
  tool: null,
  replaced: false,
  details: null,
  bodies: null,
  body_digest: null,
  body_dropped: null,
  outcome: 'success',
  status: 200,
  latency_ms: 12,
  bytes_in: 0,
  bytes_out: 0,
  scrubbed: 0,
  ...changes,
});

const grant = (changes: Partial<GrantView> = {}): GrantView => ({
  id: 'g-1',
  label: 'reader',
  principal: 'agent',
  agent: 'research-bot',
  user: null,
  user_id: null,
  group: null,
  group_issuer: null,
  kind: 'managed_secret',
  provider: 'github',
  credential: 'github',
  hosts: ['api.github.com'],
  methods: ['GET'],
  paths: ['/user'],
  excluded_paths: [],
  operations: [],
  approval: null,
  override: 'always',
  placeholder: null,
  aws_region: null,
  aws_service: null,
  injects: ['header Authorization'],
  allow_private: false,
  allow_plaintext: false,
  pass_response_cookies: false,
  no_cache: false,
  offline_grace_ms: 0,
  audit_bodies: 'none',
  audit_body_bytes: 16_384,
  git: null,
  status: 'active',
  expires_at: null,
  created_at: '',
  revoked_at: null,
  oauth: null,
  ...changes,
});

const denied = (policyError: string, changes: Partial<AuditEntry> = {}): AuditEntry =>
  entry({ decision: 'deny', outcome: 'refused', error: 'policy_violation', policy_error: policyError, status: 403, ...changes });

const all = ({ why, fix }: { why: readonly string[]; fix: readonly string[] }): string => [...why, ...fix].join('\n');

describe('refusals', () => {
  test.each(Object.keys(ERRORS) as ErrorCode[])('%s has a reason and a way out', (code) => {
    const explained = explanationOf(entry({ decision: 'deny', outcome: 'refused', error: code }), null);
    expect(explained.verdict).toBe('refused');
    expect(explained.why.length).toBeGreaterThan(1);
    expect(explained.fix.length).toBeGreaterThan(0);
    expect(all(explained)).not.toMatch(/undefined|null|\[object/);
  });

  test.each([
    'method_not_allowed',
    'path_not_allowed',
    'path_excluded',
    'git_push_not_allowed',
    'not_git',
    'session_method_denied',
    'session_path_denied',
    'session_host_denied',
    'session_grant_denied',
    'caller_ended',
    'token_uid_mismatch',
    'unknown_placeholder',
    'placeholder_wrong_host',
    'plaintext_injection',
    'evaluation_failed',
    'an_error_of_later',
  ])('policy error %s names its rule and a command or a way', (policyError) => {
    for (const known of [null, grant()]) {
      const explained = explanationOf(denied(policyError, { rule: 'some.rule' }), known);
      expect(all(explained)).toContain('some.rule');
      expect(explained.fix.length).toBeGreaterThan(0);
      expect(all(explained)).not.toMatch(/undefined|null|\[object/);
    }
  });

  test('a refused method comes with the command that allows it', () => {
    const { fix } = explanationOf(denied('method_not_allowed', { method: 'DELETE' }), grant());
    expect(fix.join('\n')).toContain(
      'alterd grant create github --agent research-bot --secret github --label reader --methods GET,DELETE --paths /user',
    );
  });

  test.each(['/**', '/a,/**', '/*', "/x';rm -rf /", '/a\u001b[2J', '/$(id)', '/`id`'])(
    'the path %j of an agent never becomes a wider rule or a command',
    (path) => {
      const { fix } = explanationOf(denied('path_not_allowed', { path }), grant());
      const command = fix.join('\n');
      expect(command).not.toContain('/**');
      expect(command).not.toMatch(/\$\(|rm -rf/);
    },
  );

  test('a path that can be read in two ways is told as such', () => {
    const explained = explanationOf(
      entry({ decision: 'deny', outcome: 'refused', error: 'malformed_request', rule: 'grant.paths' }),
      grant(),
    );
    expect(all(explained)).toContain('two ways');
  });
});

describe('what went through', () => {
  test('a success names grant, rule, credential and whether something was replaced', () => {
    const explained = explanationOf(entry(), grant());
    expect(explained).toMatchObject({ verdict: 'allowed', fix: [] });
    for (const part of [
      'g-1',
      'reader',
      'grant.methods',
      'credential github',
      'header Authorization',
      'nothing was replaced',
      '200',
    ]) {
      expect(all(explained)).toContain(part);
    }
    expect(all(explanationOf(entry({ replaced: true }), grant()))).toContain('it was replaced');
    expect(all(explanationOf(entry(), grant()))).not.toContain('repeated the credential');
    expect(all(explanationOf(entry({ scrubbed: 1 }), grant()))).toContain('repeated the credential once');
    expect(all(explanationOf(entry({ scrubbed: 3 }), grant()))).toContain('repeated the credential 3 times');
  });

  test("the provider's 401 is told from a refusal", () => {
    const explained = explanationOf(entry({ status: 401 }), grant());
    expect(explained.verdict).toBe('allowed');
    expect(all(explained)).toContain('alterd secret rotate github');
  });

  test.each([
    ['a grant that is revoked since', grant({ status: 'revoked' }), 'is revoked now'],
    ['a grant that is gone', null, 'removed since'],
  ])('%s is said', (_name, known, text) => {
    expect(all(explanationOf(entry(), known))).toContain(text);
  });

  test.each([
    ['provider_error', 'failed'],
    ['client_abort', 'failed'],
    ['unknown', 'failed'],
  ] as const)('%s is %s', (outcome, verdict) => {
    expect(explanationOf(entry({ outcome, status: null }), grant()).verdict).toBe(verdict);
  });

  test('tunnels, events and open entries have verdicts of their own', () => {
    expect(explanationOf(entry({ kind: 'tunnel', grant_id: null, credential: null }), null).verdict).toBe('tunnelled');
    expect(explanationOf(entry({ kind: 'event', action: 'agent.created' }), null).verdict).toBe('recorded');
    expect(explanationOf(entry({ closed_at: null }), grant()).verdict).toBe('open');
  });
});

describe('shellWord', () => {
  test('a shell reads back exactly the printable text, whatever it was', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme-ascii' }), (text) => {
        const ended = spawnSync('sh', ['-c', `printf %s ${shellWord(text)}`], { encoding: 'utf8' });
        expect(ended.stdout).toBe(text);
      }),
      { numRuns: 60 },
    );
  });
});
