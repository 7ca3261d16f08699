/** Openings and closings for the journal's tests, and journals in directories of their own. */
import { createSecretKey, type KeyObject } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AuditClosing, AuditOpening } from '../../../src/domain/audit.ts';
import type { CapturedBodies, CapturedBody } from '../../../src/domain/audit-body.ts';
import { type Journal, type JournalOptions, openJournal } from '../../../src/journal/journal.ts';

export const headKey = (fill = 7): KeyObject => createSecretKey(Buffer.alloc(32, fill));

export function opening(changes: Partial<AuditOpening> = {}): AuditOpening {
  return {
    kind: 'exchange',
    at: Date.now(),
    action: 'api.call',
    agent_id: '6f1a2b3c-0000-4000-8000-000000000001',
    agent: 'research-bot',
    key_id: '6f1a2b3c-0000-4000-8000-000000000002',
    key_prefix: 'alter_key_agent_abcd',
    session_id: null,
    caller: 'run-7',
    uid: null,
    pid: null,
    executable: null,
    peer: '127.0.0.1:40001',
    grant_id: '6f1a2b3c-0000-4000-8000-000000000003',
    grant_label: '',
    provider_id: 'github',
    credential: 'github-main',
    principal_type: 'agent',
    parent_agent: null,
    user_id: null,
    user: null,
    group: null,
    delegation_id: null,
    scheme: 'https',
    host: 'api.good.test',
    port: 443,
    method: 'GET',
    path: '/v1/items',
    query_keys: ['page'],
    protocol: 'http/1.1',
    decision: 'allow',
    rule: null,
    error: null,
    policy_error: null,
    policy_version: 3,
    trace_id: null,
    parent_span_id: null,
    reason: null,
    run_id: null,
    thread_id: null,
    tool: null,
    replaced: false,
    details: null,
    ...changes,
  };
}

export function closing(changes: Partial<AuditClosing> = {}): AuditClosing {
  return {
    outcome: 'success',
    status: 200,
    error: null,
    latency_ms: 12,
    bytes_in: 300,
    bytes_out: 5000,
    scrubbed: 0,
    ...changes,
  };
}

/** Bodies of an exchange as the data plane hands them over. */
export function captured(request: string | null, response: string | null, changes: Partial<CapturedBodies> = {}): CapturedBodies {
  const body = (text: string | null): CapturedBody | null =>
    text === null
      ? null
      : { bytes: Buffer.from(text), length: text.length, truncated: false, contentType: 'application/json', coding: null };
  return { request: body(request), response: body(response), dropped: null, placeholders: new Set(), ...changes };
}

export interface Place {
  readonly dir: string;
  readonly faults: string[];
  open(changes?: Partial<JournalOptions>): Promise<Journal>;
  remove(): void;
}

export function place(): Place {
  const root = mkdtempSync(join(tmpdir(), 'alterd-journal-'));
  const dir = join(root, 'audit');
  const faults: string[] = [];
  return {
    dir,
    faults,
    open: (changes = {}) =>
      openJournal({
        dir,
        sync: 'interval',
        segmentBytes: 512 * 1024,
        headKey: headKey(),
        retentionDays: null,
        onFault: (message) => faults.push(message),
        ...changes,
      }),
    remove: () => rmSync(root, { recursive: true, force: true }),
  };
}
