/**
 * What travels from one vault to another: rows as the store knows them, and the material in the clear, for it is sealed as a whole by
 * whoever writes it. Sessions, hosts, the audit and all keys of the vault itself stay where they are.
 * SECURITY: a document holds every secret of a vault. It exists as bytes between sealing and opening alone; nothing may log or answer it.
 */
import { isDeepStrictEqual } from 'node:util';
import { AlterError } from '../../domain/errors.ts';
import type { PolicySource } from '../../domain/policy.ts';
import { Secret } from '../../domain/secret.ts';
import { agentColumns, agentRow, keyColumns, keyRow } from '../../store/columns/agents.ts';
import type { Columns } from '../../store/columns/columns.ts';
import { credentialColumns, credentialRow } from '../../store/columns/credentials.ts';
import { grantColumns, grantRow } from '../../store/columns/grants.ts';
import { delegationColumns, delegationRow, userColumns, userRow } from '../../store/columns/people.ts';
import { permitColumns, permitRow, policyColumns, policyRow } from '../../store/columns/policies.ts';
import type {
  AgentRow,
  CredentialRow,
  DelegationRow,
  GrantRow,
  KeyRow,
  PermitRow,
  PolicyRow,
  UserRow,
} from '../../store/rows.ts';

/** What a file of an export says that it is. */
export const EXPORT_KIND = 'alterd export 1';

/** The rows that travel. */
export interface MovedRows {
  readonly agents: readonly AgentRow[];
  readonly keys: readonly KeyRow[];
  readonly credentials: readonly CredentialRow[];
  readonly users: readonly UserRow[];
  readonly grants: readonly GrantRow[];
  readonly delegations: readonly DelegationRow[];
  readonly permits: readonly PermitRow[];
  readonly policies: readonly PolicyRow[];
}

/** An operator's own client at a provider. */
export interface MovedClient {
  readonly id: string;
  readonly providerId: string;
  readonly clientId: string;
  readonly version: number;
  readonly createdAt: number;
  readonly secret: Secret;
}

export interface MovedVault extends MovedRows {
  /** UUID of this export. */
  readonly id: string;
  /** Epoch milliseconds. */
  readonly createdAt: number;
  /** Fields of a credential, by its id. */
  readonly material: ReadonlyMap<string, ReadonlyMap<string, Secret>>;
  readonly clients: readonly MovedClient[];
  /** Policies of files that were in force. */
  readonly policyFiles: readonly PolicySource[];
  /** Slugs of the operator's own provider files, which do not travel. */
  readonly providerFiles: readonly string[];
}

/** How each kind of row goes into columns and back: what does not survive that is not known here. */
const KINDS: { readonly [K in keyof MovedRows]: (row: never) => object } = {
  agents: (row) => agentRow(agentColumns(row)),
  keys: (row) => keyRow(keyColumns(row)),
  credentials: (row) => credentialRow(credentialColumns(row)),
  users: (row) => userRow(userColumns(row)),
  grants: (row) => grantRow(grantColumns(row)),
  delegations: (row) => delegationRow(delegationColumns(row)),
  permits: (row) => permitRow(permitColumns(row)),
  policies: (row) => policyRow(policyColumns(row)),
};

export const ROW_KINDS = Object.keys(KINDS) as readonly (keyof MovedRows)[];

/** As bytes, to be sealed at once. The caller zeroes them. */
export function documentBytes(moved: MovedVault): Buffer {
  const { material, clients, ...rest } = moved;
  const text = JSON.stringify({
    ...rest,
    material: [...material].map(([id, fields]) => [id, [...fields].map(([name, secret]) => [name, secret.reveal()])]),
    clients: clients.map((client) => ({ ...client, secret: client.secret.reveal() })),
  });
  return Buffer.from(text, 'utf8');
}

/** @throws AlterError invalid_input when it is not what this version writes */
export function readDocument(bytes: Buffer): MovedVault {
  const raw = parsed(bytes);
  for (const kind of ROW_KINDS) for (const row of listOf(raw, kind)) requireKnown(kind, row);
  const material = new Map(
    (listOf(raw, 'material') as [string, [string, string][]][]).map(([id, fields]) => [
      id,
      new Map(fields.map(([name, value]) => [name, new Secret(value)])),
    ]),
  );
  const clients = (listOf(raw, 'clients') as (Omit<MovedClient, 'secret'> & { readonly secret: string })[]).map(
    ({ id, providerId, clientId, version, createdAt, secret }) => ({
      ...{ id, providerId, clientId, version, createdAt },
      secret: new Secret(secret),
    }),
  );
  for (const name of ['policyFiles', 'providerFiles']) listOf(raw, name);
  const moved = { ...raw, material, clients } as unknown as MovedVault;
  requireWhole(moved);
  return moved;
}

function parsed(bytes: Buffer): Record<string, unknown> {
  try {
    const raw = JSON.parse(bytes.toString('utf8')) as Record<string, unknown>;
    if (typeof raw.id === 'string' && typeof raw.createdAt === 'number') return raw;
  } catch {
    // SECURITY: the parser's own message quotes what it read.
  }
  throw unknown('it is no document of alterd');
}

function listOf(raw: Record<string, unknown>, name: string): readonly unknown[] {
  const list = raw[name];
  if (Array.isArray(list)) return list;
  throw unknown(`it has no list ${name}`);
}

/** SECURITY: a field that is not known may be a restriction; a row is taken whole or not at all. */
function requireKnown(kind: keyof MovedRows, row: unknown): void {
  let known: object | null = null;
  try {
    known = KINDS[kind](row as never);
  } catch {
    // Not even an object of that kind.
  }
  if (known !== null && isDeepStrictEqual(known, row)) return;
  const names = Object.keys((row ?? {}) as Columns).filter((name) => known === null || !Object.hasOwn(known, name));
  throw unknown(
    `its ${kind} have what this alterd does not know${names.length === 0 ? '' : `: ${names.slice(0, 5).join(', ')}`}`,
  );
}

/** Each row finds what it names in the same document. */
function requireWhole(moved: MovedVault): void {
  const ids = (rows: readonly { readonly id: string }[]): ReadonlySet<string | null> =>
    new Set([null, ...rows.map(({ id }) => id)]);
  const [agents, keys, users] = [ids(moved.agents), ids(moved.keys), ids(moved.users)];
  const [credentials, grants, delegations] = [ids(moved.credentials), ids(moved.grants), ids(moved.delegations)];
  const isWhole =
    moved.agents.every((row) => agents.has(row.parentId)) &&
    moved.keys.every((row) => agents.has(row.agentId) && keys.has(row.parentKeyId)) &&
    moved.grants.every(
      ({ credentialId, principal }) =>
        credentials.has(credentialId) &&
        (principal.type !== 'agent' || agents.has(principal.agentId)) &&
        (principal.type !== 'user' || users.has(principal.userId)),
    ) &&
    moved.delegations.every((row) => agents.has(row.agentId) && users.has(row.userId) && grants.has(row.grantId)) &&
    moved.permits.every(
      (row) => agents.has(row.agentId) && users.has(row.userId) && grants.has(row.grantId) && delegations.has(row.delegationId),
    ) &&
    [...moved.material.keys()].every((id) => credentials.has(id));
  if (!isWhole) throw unknown('its rows name others that are not in it');
}

const unknown = (problem: string): AlterError =>
  new AlterError(
    'invalid_input',
    { problems: [`the export can't be read: ${problem}`] },
    { hint: 'It was made by another version: bring this alterd up to it, or export again. Nothing was changed.' },
  );
