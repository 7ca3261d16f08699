/** A small catalogue, an audit journal in memory that can be made to fail, a clock, and an opened vault. */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { ProviderSpec } from '../../../src/config/provider.ts';
import { MasterKey } from '../../../src/crypto/master-key.ts';
import type { AuditClosing, AuditOpening, AuditPort } from '../../../src/domain/audit.ts';
import { AlterError } from '../../../src/domain/errors.ts';
import { Secret } from '../../../src/domain/secret.ts';
import { openVault, type Vault, type VaultOptions } from '../../../src/vault/vault.ts';

const provider = (slug: string, more: Partial<ProviderSpec> = {}): ProviderSpec => ({
  slug,
  name: slug,
  kind: 'static',
  fields: [{ name: 'token', label: 'Token', secret: true }],
  hosts: [`api.${slug}.test`],
  inject: [{ in: 'header', name: 'Authorization', template: 'Bearer {token}' }],
  excludedPaths: ['/oauth/**'],
  placeholder: null,
  agentEnv: [],
  evidence: 'general',
  ...more,
});

export const PROVIDERS: readonly ProviderSpec[] = [
  provider('good', { hosts: ['api.good.test', '*.good.test', 'api.good.test:8443'] }),
  provider('shaped', { placeholder: 'sk-shaped-{random:40}', aliases: ['shp'] }),
  provider('fixed', { placeholder: 'fixed-shape' }),
  provider('sited', {
    fields: [
      { name: 'site', label: 'Site', secret: false },
      { name: 'email', label: 'Account', secret: true },
      { name: 'token', label: 'Token', secret: true, pattern: 'SEKRET-[a-z-]+' },
    ],
    hosts: ['{site}.sited.test'],
    inject: [{ in: 'basic', username: '{email}', password: '{token}' }],
  }),
  provider('selfhosted', { hosts: [] }),
  provider('forge', { hosts: ['api.forge.test', 'git.forge.test'], gitHosts: ['git.forge.test'], onlyPaths: ['/api/**'] }),
];

export const catalogue = {
  find: (name: string): ProviderSpec | undefined => PROVIDERS.find((each) => each.slug === name || each.aliases?.includes(name)),
};

export interface RecordedEvent {
  readonly opening: AuditOpening;
  readonly closing: AuditClosing;
}

/** Keeps what it is given; `failure`, when set, is what every write fails with. */
export class MemoryJournal implements AuditPort {
  readonly events: RecordedEvent[] = [];
  failure: Error | null = null;
  /** Runs before an event is kept. */
  onRecord: ((opening: AuditOpening) => void) | null = null;

  async open(): Promise<never> {
    throw new AlterError('audit_unavailable', { reason: 'no exchanges here' });
  }

  async record(opening: AuditOpening, closing: AuditClosing): Promise<string> {
    if (this.failure) throw this.failure;
    this.onRecord?.(opening);
    this.events.push({ opening, closing });
    return `req_${this.events.length}`;
  }

  get actions(): string[] {
    return this.events.map(({ opening }) => opening.action);
  }
}

export interface OpenedVault {
  readonly vault: Vault;
  readonly journal: MemoryJournal;
  readonly clock: { now: number };
  readonly dbFile: string;
  readonly masterKey: () => MasterKey;
}

/** Milliseconds; any fixed instant will do. */
export const START = 1_800_000_000_000;

export async function openedVault(directory: string, more: Partial<VaultOptions> = {}): Promise<OpenedVault> {
  const bytes = randomBytes(32);
  const masterKey = (): MasterKey => new MasterKey('file', Buffer.from(bytes));
  const journal = new MemoryJournal();
  const clock = { now: START };
  const dbFile = join(directory, 'vault.db');
  const vault = await openVault({ dbFile, masterKey: masterKey(), catalogue, audit: journal, now: () => clock.now, ...more });
  return { vault, journal, clock, dbFile, masterKey };
}

export const fieldsOf = (values: Record<string, string>): ReadonlyMap<string, Secret> =>
  new Map(Object.entries(values).map(([name, value]) => [name, new Secret(value)]));

export const TOKEN = fieldsOf({ token: 'SEKRET-marker-token' });

/** The code and problems of what a promise is refused with. */
export async function refusal(
  work: Promise<unknown> | (() => unknown),
): Promise<{ code: string; text: string; hint: string | undefined }> {
  try {
    await (typeof work === 'function' ? work() : work);
  } catch (thrown) {
    if (thrown instanceof AlterError) return { code: thrown.code, text: thrown.message, hint: thrown.hint };
    throw thrown;
  }
  return { code: 'none', text: 'it was not refused', hint: undefined };
}
