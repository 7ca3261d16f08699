/**
 * What a vault is filled with, straight into its database and under its own MAC: agents with a key and ten grants each, and hosts that
 * have one agent each. The views of the hosts are the same however much else there is.
 */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mintSealingKeys } from '../../../src/crypto/hpke.ts';
import { rawPublicKey } from '../../../src/crypto/request-signing.ts';
import { byCreation } from '../../../src/domain/row-lists.ts';
import type { StoreChange, StoreSnapshot } from '../../../src/store/rows.ts';
import { HOST_CAPABILITIES } from '../../../src/vault/host-capabilities.ts';
import { MAC_NAME, macOf } from '../../../src/vault/integrity.ts';
import { agentRow, credentialRow, grantRow, hostRow, keyRow } from '../../contract/store/store-rows.ts';
import type { Replica } from './replica.ts';

const GRANTS_OF_AN_AGENT = 10;
const AGENTS_OF_HOSTS = 10;
/** The secret that hosts borrow; it has to be there already. */
export const LENT = 'lent';

export interface BenchHost {
  readonly id: string;
  /** PKCS #8, PEM: it travels to the process of the load. */
  readonly key: string;
}

export const idOf = (kind: string, n: number): string => `be9c0000-${kind}-4000-8000-${String(n).padStart(12, '0')}`;
export const agentId = (n: number): string => idOf('a000', n);
/** The first grant of an agent. */
export const grantIdOf = (agent: number): string => idOf('b000', agent * GRANTS_OF_AN_AGENT);

const agentOfGrant = (n: number): number => Math.floor(n / GRANTS_OF_AN_AGENT);

/** @param from how many grants there are already */
export async function addGrants(replica: Pick<Replica, 'openStore' | 'masterKey'>, from: number, to: number): Promise<void> {
  const store = await replica.openStore();
  try {
    const before = await store.load();
    const lent = before.credentials.find(({ name }) => name === LENT)?.id ?? '';
    const agents = numbers(from / GRANTS_OF_AN_AGENT, to / GRANTS_OF_AN_AGENT);
    // Those of the hosts' agents are the secret that can be opened; each other agent has one of its own.
    const others = agents.filter((n) => n >= AGENTS_OF_HOSTS);
    const rows = {
      agents: agents.map((n) => agentRow(agentId(n), { name: `bench-${n}` })),
      keys: agents.map((n) => keyRow(idOf('c000', n), agentId(n))),
      credentials: others.map((n) => credentialRow(idOf('d000', n), { name: `bench-secret-${n}` })),
      grants: numbers(from, to).map((n) => {
        const owner = agentOfGrant(n);
        const credential = owner < AGENTS_OF_HOSTS ? lent : idOf('d000', owner);
        const destinations = [{ pattern: `h${n}.good.test`, port: 443, scheme: 'https' } as const];
        return grantRow(idOf('b000', n), agentId(owner), credential, { label: `g${n}`, destinations });
      }),
    };
    await applySealed(store, replica, before, rows);
  } finally {
    await store.close();
  }
}

/** @param views how many different ones they have */
export async function addHosts(
  replica: Pick<Replica, 'openStore' | 'masterKey'>,
  count: number,
  views: number,
): Promise<BenchHost[]> {
  const store = await replica.openStore();
  try {
    // All with one key to seal to: who opens what is sealed is not measured.
    const sealingKey = mintSealingKeys().publicKey.toString('base64url');
    const made = numbers(0, count).map((n) => ({ id: idOf('e000', n), key: generateKeyPairSync('ed25519').privateKey }));
    const hosts = made.map(({ id, key }, n) =>
      hostRow(id, {
        ...{ name: `bench-host-${n}`, inviteHash: null, signingKey: rawPublicKey(key), sealingKey, enrolledAt: 1 },
        ...{ capabilities: HOST_CAPABILITIES, agentIds: [agentId(n % views)] },
      }),
    );
    await applySealed(store, replica, await store.load(), { hosts });
    return made.map(({ id, key }) => ({ id, key: pemOf(key) }));
  } finally {
    await store.close();
  }
}

type Rows = Partial<Pick<StoreSnapshot, 'agents' | 'keys' | 'credentials' | 'grants' | 'hosts'>>;
const KINDS = { agents: 'agent', keys: 'key', credentials: 'credential', grants: 'grant', hosts: 'host' } as const;

async function applySealed(
  store: Awaited<ReturnType<Replica['openStore']>>,
  replica: Pick<Replica, 'masterKey'>,
  before: StoreSnapshot,
  rows: Rows,
): Promise<void> {
  const draft: Record<string, unknown> = { ...before, epoch: before.epoch + 1 };
  const changes: StoreChange[] = [];
  for (const table of ['agents', 'keys', 'credentials', 'grants', 'hosts'] as const) {
    const added = rows[table] ?? [];
    draft[table] = [...before[table], ...added].sort(byCreation);
    for (const row of added) changes.push({ put: KINDS[table], row } as StoreChange);
  }
  const value = macOf(replica.masterKey().derive('authority mac'), draft as unknown as StoreSnapshot);
  await store.apply([...changes, { put: 'meta', name: MAC_NAME, value }], before.epoch);
}

const numbers = (from: number, to: number): number[] => Array.from({ length: Math.max(0, to - from) }, (_, n) => from + n);
const pemOf = (key: KeyObject): string => key.export({ type: 'pkcs8', format: 'pem' }) as string;
