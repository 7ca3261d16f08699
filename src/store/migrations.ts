/**
 * The schema, as ordered steps that only ever go forward. A released step is never edited: its checksum is recorded in
 * every database that has run it, and a difference stops the start.
 */
import { createHash } from 'node:crypto';

export interface Migration {
  /** Position from 1; becomes `user_version`. */
  readonly version: number;
  readonly name: string;
  readonly sql: string;
  /**
   * The oldest version whose programs may go on with a shared database that has this step, so that replicas can be updated one after
   * the other. Absent: none but those that know it. Only for a step that adds tables, or columns with a default: an older program
   * leaves them alone, and once a row uses one, its MAC is another to it, and it refuses.
   */
  readonly goesWith?: number;
}

/** Marks the file as a vault of alterd: "altr". */
export const APPLICATION_ID = 0x616c7472;

export const checksumOf = (migration: Migration): string => createHash('sha256').update(migration.sql).digest('hex');

/** Portable on purpose: text ids, integers for booleans and instants, JSON as text; see the Store port. */
const FIRST_SCHEMA = `
create table agents (
  id text primary key,
  name text not null unique,
  status text not null,
  created_at integer not null
) strict;
create table agent_keys (
  id text primary key,
  agent_id text not null references agents (id) on delete cascade,
  hash text not null unique,
  prefix text not null,
  status text not null,
  created_at integer not null,
  expires_at integer,
  last_used_at integer,
  bound_uid integer
) strict;
create index agent_keys_by_agent on agent_keys (agent_id);
create table data_keys (
  id text primary key,
  wrapped blob not null,
  created_at integer not null
) strict;
create table credentials (
  id text primary key,
  name text not null unique,
  provider_id text not null,
  kind text not null,
  field_names text not null,
  version integer not null,
  created_at integer not null,
  rotated_at integer,
  last_used_at integer,
  injections text,
  destinations text,
  public_fields text not null
) strict;
create table sealed_material (
  credential_id text primary key references credentials (id) on delete cascade,
  version integer not null,
  data_key_id text not null references data_keys (id),
  sealed blob not null
) strict;
create index sealed_material_by_data_key on sealed_material (data_key_id);
create table grants (
  id text primary key,
  label text not null,
  principal_type text not null,
  agent_id text references agents (id) on delete cascade,
  grant_kind text not null,
  provider_id text not null,
  credential_id text not null references credentials (id),
  destinations text not null,
  methods text,
  paths text,
  excluded_paths text not null,
  override_mode text not null,
  placeholder text,
  injections text not null,
  allow_private integer not null,
  allow_plaintext integer not null,
  status text not null,
  expires_at integer,
  created_at integer not null,
  revoked_at integer,
  check ((principal_type = 'agent') = (agent_id is not null))
) strict;
create index grants_by_agent on grants (agent_id);
create index grants_by_credential on grants (credential_id);
create table meta (
  name text primary key,
  value text not null
) strict;
insert into meta (name, value) values ('epoch', '0');
`;

/** Grants of before keep what is safe: the agent gets no cookies. */
const RESPONSE_COOKIES = 'alter table grants add column pass_response_cookies integer not null default 0;';

const OPERATIONS = "alter table grants add column operations text not null default '[]';";

/** Policies of the API, every set that was in force, and the counters of rate limits. */
const POLICIES = `
create table policies (
  id text primary key,
  name text not null unique,
  toml text not null,
  version integer not null,
  created_at integer not null,
  updated_at integer not null
) strict;
create table policy_sets (
  id text primary key,
  digest text not null,
  sources text not null,
  created_at integer not null
) strict;
create table rate_limits (
  key text primary key,
  spec text not null,
  state text not null,
  at integer not null
) strict;
`;

const APPROVAL = 'alter table grants add column approval text;';

const SOURCES = 'alter table credentials add column sources text;';

/** Grants of before are for whatever their other rules say. */
const GIT_ACCESS = 'alter table grants add column git_access text;';

/** Connected accounts, and the operator's clients at providers. */
const OAUTH = `
alter table credentials add column oauth text;
create table provider_clients (
  id text primary key,
  provider_id text not null unique,
  client_id text not null,
  version integer not null,
  data_key_id text not null references data_keys (id),
  sealed blob not null,
  created_at integer not null
) strict;
`;

/** Agents and keys of before are limited to nothing, bound to nothing and derived from nothing, which is what they were. */
const PEOPLE = `
create table users (
  id text primary key,
  issuer text not null,
  subject text not null,
  email text,
  name text,
  groups text not null,
  claims_at integer not null,
  status text not null,
  created_at integer not null,
  last_used_at integer,
  unique (issuer, subject)
) strict;
alter table agents add column type text not null default 'agent';
alter table agents add column providers text;
alter table agents add column parent_id text references agents (id);
alter table agents add column metadata text not null default '{}';
create index agents_by_parent on agents (parent_id);
alter table agent_keys add column parent_key_id text references agent_keys (id) on delete cascade;
alter table agent_keys add column narrowing text;
alter table agent_keys add column bound_unit text;
alter table agent_keys add column bound_executable text;
alter table agent_keys add column bound_cidr text;
create index agent_keys_by_parent on agent_keys (parent_key_id);
alter table grants add column user_id text references users (id) on delete cascade;
alter table grants add column group_issuer text;
alter table grants add column group_name text;
create index grants_by_user on grants (user_id);
create table delegations (
  id text primary key,
  user_id text references users (id) on delete cascade,
  agent_id text not null references agents (id) on delete cascade,
  grant_id text not null references grants (id) on delete cascade,
  status text not null,
  created_at integer not null,
  expires_at integer,
  revoked_at integer,
  revoked_by text
) strict;
create index delegations_by_user on delegations (user_id);
create index delegations_by_agent on delegations (agent_id);
create index delegations_by_grant on delegations (grant_id);
`;

/** What a person lets pass again and again. They go with their agent, user, grant and delegation. */
const PERMITS = `
create table permits (
  id text primary key,
  agent_id text not null references agents (id) on delete cascade,
  user_id text references users (id) on delete cascade,
  grant_id text references grants (id) on delete cascade,
  delegation_id text references delegations (id) on delete cascade,
  rule text not null,
  method text not null,
  origin text not null,
  path text,
  approval_id text not null,
  created_by text not null,
  created_at integer not null,
  expires_at integer
) strict;
create index permits_by_agent on permits (agent_id);
create index permits_by_user on permits (user_id);
create index permits_by_grant on permits (grant_id);
create index permits_by_delegation on permits (delegation_id);
`;

/** Grants of before leave nothing on after the end of a lease, and may be kept until then. */
const LEASES = `
alter table grants add column no_cache integer not null default 0;
alter table grants add column offline_grace_ms integer not null default 0;
`;

/** Grants of before keep no bodies. */
const AUDIT_BODIES = `
alter table grants add column audit_bodies text not null default 'none';
alter table grants add column audit_body_bytes integer not null default 16384;
`;

/** What replicas need of each other. Not part of the snapshot, nor under its MAC. */
const COORDINATION = `
create table change_log (
  epoch integer primary key,
  changes text not null
) strict;
create table nonces (
  key text primary key,
  expires_at integer not null
) strict;
create index nonces_by_expiry on nonces (expires_at);
create table leases (
  name text primary key,
  holder text not null,
  fence integer not null,
  expires_at integer not null
) strict;
`;

/** Machines that borrow from a central vault. */
const HOSTS = `
create table hosts (
  id text primary key,
  name text not null unique,
  status text not null,
  invite_hash text unique,
  invite_expires_at integer,
  signing_key text,
  sealing_key text,
  capabilities text not null,
  version text,
  agent_ids text not null,
  system_grants integer not null,
  created_at integer not null,
  enrolled_at integer,
  last_used_at integer
) strict;
`;

/** Rows of the journals of hosts, as they were sent. A chain is one journal. */
const HOST_AUDIT = `
create table host_audit (
  host_id text not null,
  chain text not null,
  n integer not null,
  line text not null,
  arrived_at integer not null,
  primary key (host_id, chain, n)
) strict;
`;

/** Limits that all hosts share: what is in whose hands. Not part of the snapshot, nor under its MAC. */
const QUOTAS = `
create table quotas (
  key text primary key,
  version integer not null,
  state text not null,
  expires_at integer not null
) strict;
`;

export const MIGRATIONS: readonly Migration[] = [
  { version: 1, name: 'first schema', sql: FIRST_SCHEMA },
  { version: 2, name: 'cookies of answers', sql: RESPONSE_COOKIES },
  { version: 3, name: 'operations of grants', sql: OPERATIONS },
  { version: 4, name: 'approval of grants', sql: APPROVAL },
  { version: 5, name: 'grants for git', sql: GIT_ACCESS },
  { version: 6, name: 'connected accounts', sql: OAUTH },
  { version: 7, name: 'sources of secrets', sql: SOURCES },
  { version: 8, name: 'policies', sql: POLICIES },
  { version: 9, name: 'users and delegations', sql: PEOPLE },
  { version: 10, name: 'permits', sql: PERMITS },
  { version: 11, name: 'leases of grants', sql: LEASES },
  { version: 12, name: 'change log, nonces and leases', sql: COORDINATION },
  { version: 13, name: 'hosts', sql: HOSTS },
  { version: 14, name: 'audit rows of hosts', sql: HOST_AUDIT },
  { version: 15, name: 'quotas', sql: QUOTAS },
  { version: 16, name: 'bodies beside audit rows', sql: AUDIT_BODIES, goesWith: 15 },
];
