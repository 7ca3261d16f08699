/** Between credentials, what seals them, clients of providers, and their columns. */
import type { FieldSources } from '../../domain/credential.ts';
import type { CredentialRow, DataKeyRow, ProviderClientRow, SealedRow } from '../rows.ts';
import { type Columns, json, parsed } from './columns.ts';

export const credentialColumns = (row: CredentialRow): Columns => ({
  id: row.id,
  name: row.name,
  provider_id: row.providerId,
  kind: row.kind,
  field_names: json(row.fieldNames),
  version: row.version,
  created_at: row.createdAt,
  rotated_at: row.rotatedAt,
  last_used_at: row.lastUsedAt,
  injections: json(row.injections),
  destinations: json(row.destinations),
  public_fields: json(row.publicFields),
  oauth: json(row.oauth ?? null),
  sources: json(row.sources ?? null),
});

export const credentialRow = (c: Columns): CredentialRow => ({
  id: c.id as string,
  name: c.name as string,
  providerId: c.provider_id as string,
  kind: c.kind as CredentialRow['kind'],
  fieldNames: parsed(c.field_names),
  version: c.version as number,
  createdAt: c.created_at as number,
  rotatedAt: c.rotated_at as number | null,
  lastUsedAt: c.last_used_at as number | null,
  injections: parsed(c.injections),
  destinations: parsed(c.destinations),
  publicFields: parsed(c.public_fields),
  ...(c.oauth === null ? {} : { oauth: parsed(c.oauth) }),
  // Absent rather than null, so that the MAC of a row without sources is what it was before there were any.
  ...(c.sources === null ? {} : { sources: parsed<FieldSources>(c.sources) }),
});

export const providerClientColumns = (row: ProviderClientRow): Columns => ({
  id: row.id,
  provider_id: row.providerId,
  client_id: row.clientId,
  version: row.version,
  data_key_id: row.dataKeyId,
  sealed: row.sealed,
  created_at: row.createdAt,
});

export const providerClientRow = (c: Columns): ProviderClientRow => ({
  id: c.id as string,
  providerId: c.provider_id as string,
  clientId: c.client_id as string,
  version: c.version as number,
  dataKeyId: c.data_key_id as string,
  sealed: c.sealed as Uint8Array,
  createdAt: c.created_at as number,
});

export const dataKeyColumns = (row: DataKeyRow): Columns => ({ id: row.id, wrapped: row.wrapped, created_at: row.createdAt });

export const dataKeyRow = (c: Columns): DataKeyRow => ({
  id: c.id as string,
  wrapped: c.wrapped as Uint8Array,
  createdAt: c.created_at as number,
});

export const sealedColumns = (row: SealedRow): Columns => ({
  credential_id: row.credentialId,
  version: row.version,
  data_key_id: row.dataKeyId,
  sealed: row.sealed,
});

export const sealedRow = (c: Columns): SealedRow => ({
  credentialId: c.credential_id as string,
  version: c.version as number,
  dataKeyId: c.data_key_id as string,
  sealed: c.sealed as Uint8Array,
});
