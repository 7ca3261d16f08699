import { describe, expect, it } from 'vitest';
import type { FleetHostView, FleetView } from '../../../src/api/fleet.ts';
import type { Finding } from '../../../src/cli/doctor/finding.ts';
import {
  checkCertificate,
  checkClock,
  checkDatabase,
  checkDisk,
  checkHosts,
  checkKey,
} from '../../../src/cli/doctor/vault-checks.ts';
import { AlterError } from '../../../src/domain/errors.ts';
import type { StoreGlance } from '../../../src/store/glance.ts';

const NOW = Date.parse('2031-01-31T12:00:00Z');
const DAY = 86_400_000;
const ago = (minutes: number): string => new Date(NOW - minutes * 60_000).toISOString();
const glance = (more: Partial<StoreGlance> = {}): StoreGlance => ({
  ...{ kind: 'postgresql', place: 'db:5432', schemaVersion: 7, knownVersion: 7, latencyMs: 1, clockAheadMs: 3 },
  ...{ meta: new Map([['vault_id', 'x']]), replicas: [{ from: '10.0.0.1', connections: 2 }] },
  ...more,
});
const database = (more: Partial<StoreGlance>) => ({ database: glance(more), key: null });
const host = (more: Partial<FleetHostView>): FleetHostView => ({
  ...{ name: 'web-01', status: 'active', enrolled_at: ago(9_000), last_seen_at: ago(1) },
  ...{ last_audit_at: ago(1), last_audit_row_at: ago(1) },
  ...more,
});
const fleet = (...hosts: FleetHostView[]): FleetView => ({ vault_id: 'x', url: '', address: '', fingerprint: '', hosts });
const certificate = (more: object) => ({ notBefore: NOW - DAY, notAfter: NOW + 6 * DAY, isPinned: true, missing: [], ...more });
const away = new AlterError('vault_unavailable', { reason: 'the database is away' }, { hint: 'Check it: `pg_isready`.' });
const MIB = 1024 * 1024;

describe('checks of a central vault', () => {
  it('find nothing where all is well', () => {
    const all = [
      ...checkDatabase(database({})),
      checkKey({ database: glance(), key: { source: 'file', fault: null } }),
      checkClock(database({}), true),
      checkCertificate(certificate({}), NOW),
      ...checkHosts(fleet(host({}), host({ name: 'gone', status: 'revoked', last_seen_at: null })), NOW),
      checkDisk('/var', { bytes: 5_000 * MIB, total: 9_000 * MIB }),
    ];
    expect(all.filter(({ status }) => status !== 'ok')).toEqual([]);
  });

  it('say ok of a clock only where it was compared with something, or something keeps it', () => {
    const said = (isKept: boolean | null, clockAheadMs: number | null): string =>
      checkClock(database({ clockAheadMs }), isKept).status;
    expect([said(null, null), said(true, null), said(null, 3)]).toEqual(['skipped', 'ok', 'ok']);
  });

  const finding = (list: readonly Finding[]): Finding | undefined => list.find(({ status }) => status !== 'ok');
  it.each<[string, Finding['status'], () => Finding | undefined]>([
    ['a database that is away', 'failed', () => finding(checkDatabase({ database: away, key: null }))],
    ['a slow one', 'exposed', () => finding(checkDatabase(database({ latencyMs: 80 })))],
    ['an older schema', 'failed', () => finding(checkDatabase(database({ schemaVersion: 6 })))],
    ['a newer schema', 'failed', () => finding(checkDatabase(database({ schemaVersion: 8 })))],
    ['a database that no vault has used', 'failed', () => finding(checkDatabase(database({ meta: new Map() })))],
    ['one that nobody is connected to', 'failed', () => finding(checkDatabase(database({ replicas: [] })))],
    ['another master key', 'failed', () => checkKey({ database: glance(), key: { source: 'file', fault: away } })],
    [
      'a key that only the unit sees',
      'skipped',
      () => checkKey({ database: glance(), key: { source: 'systemd', fault: undefined } }),
    ],
    ['a clock behind the database', 'failed', () => checkClock(database({ clockAheadMs: -9_000 }), true)],
    ['a clock that nothing keeps', 'exposed', () => checkClock(database({}), false)],
    ['a certificate that has ended', 'failed', () => checkCertificate(certificate({ notAfter: NOW - 1 }), NOW)],
    ['one that is not good yet', 'failed', () => checkCertificate(certificate({ notBefore: NOW + 1 }), NOW)],
    ['one that ends soon', 'exposed', () => checkCertificate(certificate({ notAfter: NOW + DAY }), NOW)],
    ['one for other names', 'failed', () => checkCertificate(certificate({ missing: ['vault.example'] }), NOW)],
    ['one of another authority', 'failed', () => checkCertificate(certificate({ isPinned: false }), NOW)],
    ['no host at all', 'skipped', () => finding(checkHosts(fleet(), NOW))],
    ['a host that is not seen any more', 'exposed', () => finding(checkHosts(fleet(host({ last_seen_at: ago(20) })), NOW))],
    ['a host that never came', 'exposed', () => finding(checkHosts(fleet(host({ last_seen_at: null })), NOW))],
    ['a host that sends no rows', 'exposed', () => finding(checkHosts(fleet(host({ last_audit_at: null })), NOW))],
    ['a host whose rows come late', 'exposed', () => finding(checkHosts(fleet(host({ last_audit_row_at: ago(30) })), NOW))],
    ['a disk that fills', 'exposed', () => checkDisk('/var', { bytes: 200 * MIB, total: 9_000 * MIB })],
    ['a disk that is full', 'failed', () => checkDisk('/var', { bytes: 9 * MIB, total: 9_000 * MIB })],
  ])('%s is %s, with one thing to do', (_case, status, check) => {
    const found = check();
    expect(found?.status).toBe(status);
    expect(found?.fix).toMatch(/`[^`]+`/);
  });
});
