/**
 * What is asked for when a grant is made, checked against its credential and provider. All problems are found at once.
 * The result is concrete: it holds hosts and injections, never a reference to a catalogue that may change under it.
 */
import type { ProviderSpec } from '../config/provider.ts';
import { resolveHosts, resolveInjections } from '../config/provider-hosts.ts';
import { wholeField } from '../config/provider-oauth.ts';
import { DEFAULT_BODY_BYTES, KEPT_BODIES, type KeptBodies, MAX_BODY_BYTES } from '../domain/audit-body.ts';
import type { Injection } from '../domain/credential.ts';
import { AlterError } from '../domain/errors.ts';
import type { GitAccess, Grant, GrantDestination, OverrideMode } from '../domain/grant.ts';
import type { OperationRule } from '../domain/operation-rule.ts';
import { validateInjections } from '../injection/compile.ts';
import { operationRuleProblems } from '../policy/operations.ts';
import { validatePathGlob } from '../policy/path.ts';
import type { CredentialRow } from '../store/rows.ts';
import { covers, destinationText, methodProblem, pathProblem, readDestination, widenForPlaintext } from './grant-scope.ts';
import { expiryProblem } from './names.ts';
import { pinSigning, type SigningPins } from './signing-pins.ts';

/** `provider` or `credential` (or both), and exactly one of `agent`, `user`, `group` and `system`. */
export interface NewGrant extends SigningPins {
  readonly provider?: string | undefined;
  /** Name or id of a stored secret. */
  readonly credential?: string | undefined;
  /** Name or id. */
  readonly agent?: string | undefined;
  /** Id, e-mail or subject. */
  readonly user?: string | undefined;
  readonly group?: { readonly issuer: string; readonly name: string } | undefined;
  readonly system?: boolean | undefined;
  readonly label?: string | undefined;
  /** `host`, `host:port`, `http://host:port`; narrows the hosts of the secret or its provider, or names them when those have none. */
  readonly hosts?: readonly string[] | undefined;
  readonly methods?: readonly string[] | undefined;
  readonly paths?: readonly string[] | undefined;
  readonly operations?: readonly OperationRule[] | undefined;
  /** Methods whose requests a person has to approve; `*` for all. */
  readonly approval?: readonly string[] | undefined;
  /** For git alone: clone and fetch, or push as well. */
  readonly git?: GitAccess | undefined;
  /** Epoch milliseconds. */
  readonly expiresAt?: number | null | undefined;
  readonly overrideMode?: OverrideMode | undefined;
  readonly allowPrivate?: boolean | undefined;
  readonly allowPlaintext?: boolean | undefined;
  readonly passResponseCookies?: boolean | undefined;
  readonly noCache?: boolean | undefined;
  readonly offlineGraceMs?: number | undefined;
  readonly auditBodies?: KeptBodies | undefined;
  readonly auditBodyBytes?: number | undefined;
}

export type CheckedScope = Pick<
  Grant,
  | 'label'
  | 'destinations'
  | 'methods'
  | 'paths'
  | 'git'
  | 'excludedPaths'
  | 'operations'
  | 'approval'
  | 'overrideMode'
  | 'injections'
  | 'allowPrivate'
  | 'allowPlaintext'
  | 'passResponseCookies'
  | 'noCache'
  | 'offlineGraceMs'
  | 'auditBodies'
  | 'auditBodyBytes'
  | 'expiresAt'
>;

const OVERRIDE_MODES: readonly OverrideMode[] = ['always', 'if_absent', 'placeholder_only'];
const GIT_ACCESS: readonly GitAccess[] = ['read', 'write'];
/** A week without a word of the vault is as long as a host may go on. */
const MAX_OFFLINE_GRACE_MS = 7 * 86_400_000;
/** It must fit into a header and a command line without quoting. */
const LABEL = /^[A-Za-z0-9][A-Za-z0-9 ._@:/+-]{0,63}$/;

/** The scope, meaningful only when `problems` is empty. */
export function checkScope(
  input: NewGrant,
  credential: CredentialRow,
  provider: ProviderSpec | undefined,
  now: number,
): { readonly scope: CheckedScope; readonly problems: readonly (string | undefined)[] } {
  const problems: (string | undefined)[] = [];
  const label = input.label?.trim() ?? '';
  const overrideMode = input.overrideMode ?? 'always';
  const base = injectionsOf(credential, provider, problems);
  const injections = pinSigning(base, base, input, { credential, provider }, problems);
  problems.push(
    labelProblem(label),
    overrideProblem(overrideMode),
    gitProblem(input.git),
    expiryProblem(input.expiresAt, now),
    ...leaseProblems(input),
    ...bodyProblems(input),
    input.methods?.length === 0 ? 'methods: an empty list would allow nothing; leave it out to allow all' : undefined,
    input.paths?.length === 0 ? 'paths: an empty list would allow nothing; leave it out to allow all' : undefined,
    ...(input.methods ?? []).map((method) => methodProblem('methods', method)),
    ...(input.paths ?? []).map((path) => pathProblem('paths', path)),
    ...approvalProblems(input.approval ?? null),
    ...(input.operations ?? []).flatMap(operationRuleProblems),
    ...validateInjections(injections, credential.fieldNames),
  );
  const scope: CheckedScope = {
    label,
    destinations: destinationsOf(input, credential, provider, problems),
    methods: input.methods ? upperCased(input.methods) : null,
    paths: pathsOf(input, provider),
    git: input.git ?? null,
    excludedPaths: [...(provider?.excludedPaths ?? []), ...tokenPathOf(credential, provider)],
    operations: [...(input.operations ?? [])],
    approval: input.approval ? upperCased(input.approval) : null,
    overrideMode,
    injections,
    allowPrivate: input.allowPrivate === true,
    allowPlaintext: input.allowPlaintext === true,
    passResponseCookies: input.passResponseCookies === true,
    noCache: input.noCache === true,
    offlineGraceMs: input.offlineGraceMs ?? 0,
    auditBodies: input.auditBodies ?? 'none',
    auditBodyBytes: input.auditBodyBytes ?? DEFAULT_BODY_BYTES,
    expiresAt: input.expiresAt ?? null,
  };
  return { scope, problems };
}

/** Each once. */
export const upperCased = (methods: readonly string[]): readonly string[] => [
  ...new Set(methods.map((method) => method.toUpperCase())),
];

export const labelProblem = (label: string): string | undefined =>
  label === '' || LABEL.test(label)
    ? undefined
    : 'label: use 1 to 64 letters, digits, spaces and . _ @ : / + -, beginning with a letter or digit';

export const overrideProblem = (mode: OverrideMode): string | undefined =>
  OVERRIDE_MODES.includes(mode) ? undefined : `override: must be one of ${OVERRIDE_MODES.join(', ')}`;

export const gitProblem = (git: GitAccess | undefined): string | undefined =>
  git === undefined || GIT_ACCESS.includes(git) ? undefined : `git: must be one of ${GIT_ACCESS.join(', ')}`;

export const approvalProblems = (approval: readonly string[] | null): (string | undefined)[] => [
  approval?.length === 0 ? 'approval: an empty list would ask for nothing; leave it out' : undefined,
  ...(approval ?? []).map((method) => (method === '*' ? undefined : methodProblem('approval', method))),
];

/** What hosts of a central vault may do with a grant while they can't reach it. */
export const leaseProblems = ({
  noCache,
  offlineGraceMs = 0,
}: Pick<NewGrant, 'noCache' | 'offlineGraceMs'>): (string | undefined)[] => [
  Number.isSafeInteger(offlineGraceMs) && offlineGraceMs >= 0 && offlineGraceMs <= MAX_OFFLINE_GRACE_MS
    ? undefined
    : 'offline_grace_ms: must be between 0 and 7 days',
  noCache === true && offlineGraceMs > 0
    ? 'offline_grace_ms: nothing is kept of a grant with no_cache, so it can have no offline grace'
    : undefined,
];

/** Which bodies are kept beside the audit rows of a grant, and how much of each. */
export const bodyProblems = ({
  auditBodies = 'none',
  auditBodyBytes = DEFAULT_BODY_BYTES,
}: Pick<NewGrant, 'auditBodies' | 'auditBodyBytes'>): (string | undefined)[] => [
  KEPT_BODIES.includes(auditBodies) ? undefined : `audit_bodies: must be one of ${KEPT_BODIES.join(', ')}`,
  Number.isSafeInteger(auditBodyBytes) && auditBodyBytes >= 1 && auditBodyBytes <= MAX_BODY_BYTES
    ? undefined
    : `audit_body_bytes: must be between 1 and ${MAX_BODY_BYTES}`,
];

/** The path of a token endpoint that the connection named itself: like all of them it never gets the credential, whatever host it is on. */
function tokenPathOf({ publicFields }: CredentialRow, provider: ProviderSpec | undefined): readonly string[] {
  const field = wholeField(provider?.oauth?.tokenUrl ?? '');
  const url = field === null ? '' : (publicFields[field] ?? '');
  const path = URL.canParse(url) ? new URL(url).pathname : '/';
  return path === '/' || validatePathGlob(path) !== null ? [] : [path];
}

/** The API of a host that is also a web site: a grant for the site has to say so. */
function pathsOf(input: NewGrant, provider: ProviderSpec | undefined): readonly string[] | null {
  if (input.paths) return [...new Set(input.paths)];
  return input.git === undefined && provider?.onlyPaths !== undefined ? [...provider.onlyPaths] : null;
}

/** How the credential goes onto requests, before a grant narrows it. */
export function injectionsOf(
  credential: CredentialRow,
  provider: ProviderSpec | undefined,
  problems: (string | undefined)[],
): readonly Injection[] {
  if (credential.injections !== null) return credential.injections;
  if (provider === undefined) {
    problems.push(`provider: ${JSON.stringify(credential.providerId)} is no longer in the catalogue`);
    return [];
  }
  return collected(problems, () => resolveInjections(provider, new Map(Object.entries(credential.publicFields)))) ?? [];
}

/** Where the credential may go at most; empty when neither it nor its provider says. */
function baseOf(
  credential: CredentialRow,
  provider: ProviderSpec | undefined,
  problems: (string | undefined)[],
): readonly GrantDestination[] {
  if (credential.destinations !== null) return credential.destinations;
  if (provider === undefined) return [];
  const hosts = collected(problems, () => resolveHosts(provider, new Map(Object.entries(credential.publicFields)))) ?? [];
  return readAll(hosts, problems);
}

function destinationsOf(
  input: NewGrant,
  credential: CredentialRow,
  provider: ProviderSpec | undefined,
  problems: (string | undefined)[],
): readonly GrantDestination[] {
  const plain = input.allowPlaintext === true;
  const base = baseOf(credential, provider, problems);
  const asked = readAll(input.hosts ?? [], problems);
  if (!plain && asked.some((destination) => destination.scheme === 'http')) problems.push('hosts: http:// needs allow_plaintext');
  if (input.hosts === undefined || input.hosts.length === 0) {
    if (base.length === 0) problems.push('hosts: neither the secret nor its provider names a host; name at least one');
    const widened = widenForPlaintext(input.git === undefined ? base : gitHostsOf(base, credential, provider, problems), plain);
    if (base.length > 0 && widened.length === 0)
      problems.push('hosts: all hosts of the secret are http; that needs allow_plaintext');
    return widened;
  }
  const narrowed = widenForPlaintext(asked, plain);
  if (base.length === 0) return narrowed;
  const outer = widenForPlaintext(base, plain);
  // SECURITY: a grant only ever narrows; a host beyond the provider's would hand the provider's secret to somebody else.
  for (const destination of asked) {
    const mayReach = widenForPlaintext([destination], plain).every((each) => outer.some((one) => covers(one, each)));
    if (!mayReach && (plain || destination.scheme === 'https')) {
      problems.push(
        `hosts: ${destinationText(destination)} is not a host of "${credential.name}" (${base.map(destinationText).join(', ')})`,
      );
    }
  }
  return narrowed;
}

/** The hosts that serve repositories, so that a grant for git does not stand beside one for the API on the API's own host. */
function gitHostsOf(
  base: readonly GrantDestination[],
  credential: CredentialRow,
  provider: ProviderSpec | undefined,
  problems: (string | undefined)[],
): readonly GrantDestination[] {
  // Hosts that an operator named for the secret are what they say.
  if (credential.destinations !== null || provider === undefined || base.length === 0) return base;
  const { gitHosts = [] } = provider;
  const serving = base.filter((destination) => gitHosts.includes(destination.pattern));
  if (serving.length === 0) problems.push(`git: no host of ${provider.slug} is known to serve repositories; name it with --host`);
  return serving;
}

function readAll(hosts: readonly string[], problems: (string | undefined)[]): GrantDestination[] {
  return hosts.flatMap((host) => {
    const reading = readDestination(host);
    if ('value' in reading) return [reading.value];
    problems.push(reading.problem);
    return [];
  });
}

function collected<T>(problems: (string | undefined)[], work: () => T): T | undefined {
  try {
    return work();
  } catch (thrown) {
    if (!(thrown instanceof AlterError) || thrown.code !== 'invalid_input') throw thrown;
    problems.push(...(thrown.details as { problems: readonly string[] }).problems);
    return undefined;
  }
}
