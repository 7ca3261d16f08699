/** Names of tests and targets, in the order in which they are measured. */
export const TEST_NAMES = [
  'check',
  'warm',
  'ka1',
  'ka16',
  'ka64',
  'ka256',
  'h2',
  'rate200',
  'rate1000',
  'dl64k',
  'dl10m',
  'up10m',
  'sse',
  'newconn',
  'bursts',
  'dl10m-after',
  'up10m-after',
  'memory',
  'burst-memory',
  'first-visit',
  'startup',
  'micro',
  'leases',
  'streams',
  'grants',
] as const;

export type TestName = (typeof TEST_NAMES)[number];

export const TARGET_NAMES = [
  'direct',
  'alterd',
  'alterd-no-scrub',
  'alterd-oauth',
  'alterd-sigv4',
  'alterd-lease',
  'blind-node',
  'http-proxy',
  'nginx',
  'squid',
  'mitmproxy',
  'http-mitm-proxy',
  'mockttp',
] as const;

/** Central vaults, which have tests of their own. */
export const VAULT_NAMES = ['vault-sqlite', 'vault-postgres'] as const;

/** Under this domain the origin plays every host; nobody resolves it. */
export const DOMAIN = 'bench.test';
export const hostNumber = (n: number): string => `h${n}.${DOMAIN}`;
export const HOSTS = 100;
export const TOKEN = 'SEKRET-marker-bench-0123456789abcdef01234567';
/** What the certificate of a central vault says besides its address. */
export const VAULT_NAME = `vault.${DOMAIN}`;
