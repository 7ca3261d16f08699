/**
 * Policies as an operator writes them: typed rules over requests that a grant already covers. They only ever restrict.
 * Plain values, checked when they were read; what they mean is in src/policy. Never holds a secret.
 */

/** A request must pass every layer that applies to it. */
export const POLICY_LAYERS = ['installation', 'provider', 'agent', 'grant', 'user', 'session'] as const;
export type PolicyLayer = (typeof POLICY_LAYERS)[number];

/** `monitor` records what would have been denied and lets it pass. */
export const POLICY_MODES = ['enforce', 'monitor'] as const;
export type PolicyMode = (typeof POLICY_MODES)[number];

/**
 * `deny` what meets the conditions · `require` that they are met · `limit` how often · `require_approval` of a person.
 */
export const RULE_EFFECTS = ['deny', 'require', 'limit', 'require_approval'] as const;
export type RuleEffect = (typeof RULE_EFFECTS)[number];

export type Scalar = string | number | boolean;

/** A test of one named value: a header, a query parameter, a place in a JSON body. Exactly one of the three is set. */
export interface ValueTest {
  /** Name of the header or the parameter, or a JSON pointer (RFC 6901). */
  readonly name: string;
  readonly exists: boolean | null;
  readonly oneOf: readonly Scalar[] | null;
  readonly glob: string | null;
}

/** Local time in a zone. When `fromMinute` is later than `toMinute` the window runs past midnight and belongs to the day on which it began. */
export interface TimeWindow {
  /** IANA name. */
  readonly zone: string;
  /** 0 is Sunday; null for every day. */
  readonly weekdays: readonly number[] | null;
  /** Minutes of the day, `toMinute` exclusive. */
  readonly fromMinute: number;
  readonly toMinute: number;
}

/** Who is at the other end of the proxy socket. Members that are null are not asked for; lists mean "one of them". */
export interface SourceTest {
  readonly cidrs: readonly string[] | null;
  readonly uids: readonly number[] | null;
  readonly units: readonly string[] | null;
  readonly executables: readonly string[] | null;
}

/** All members that are not null must hold; a list holds when one of its values does. */
export interface Conditions {
  readonly hosts: readonly string[] | null;
  readonly methods: readonly string[] | null;
  readonly paths: readonly string[] | null;
  readonly query: readonly ValueTest[] | null;
  readonly headers: readonly ValueTest[] | null;
  readonly time: readonly TimeWindow[] | null;
  /** Epoch milliseconds. */
  readonly before: number | null;
  readonly after: number | null;
  readonly source: SourceTest | null;
  readonly users: readonly string[] | null;
  /** Exactly as tokens say. A group is one of its issuer's: with several issuers, a rule about groups names this too. */
  readonly issuers: readonly string[] | null;
  readonly groups: readonly string[] | null;
  readonly git: readonly ('read' | 'write')[] | null;
  readonly json: readonly ValueTest[] | null;
  /** Kinds of operation and root fields; the name of an operation is the client's free choice and says nothing. */
  readonly graphql: { readonly kinds: readonly string[] | null; readonly fields: readonly string[] | null } | null;
  readonly jsonrpc: { readonly methods: readonly string[] | null; readonly tools: readonly string[] | null } | null;
  readonly cel: string | null;
}

export const NO_CONDITIONS: Conditions = {
  hosts: null,
  methods: null,
  paths: null,
  query: null,
  headers: null,
  time: null,
  before: null,
  after: null,
  source: null,
  users: null,
  issuers: null,
  groups: null,
  git: null,
  json: null,
  graphql: null,
  jsonrpc: null,
  cel: null,
};

export const LIMIT_KINDS = ['token_bucket', 'fixed_window', 'sliding_window'] as const;

/**
 * Whose requests a limit counts together: those of all hosts of a central vault, or of each host for itself. An installation with a
 * vault of its own is a fleet of one, where both are the same.
 */
export const LIMIT_SCOPES = ['fleet', 'host'] as const;
export type LimitScope = (typeof LIMIT_SCOPES)[number];

/** How many requests of one agent under one grant a rule lets through. */
export interface LimitSpec {
  readonly kind: (typeof LIMIT_KINDS)[number];
  readonly requests: number;
  readonly perMs: number;
  /** Size of the bucket; equal to `requests` unless it was said. */
  readonly burst: number;
  /** `fleet` unless it was said. */
  readonly scope: LimitScope;
}

export interface PolicyRule {
  /** Slug, unique in its policy. */
  readonly name: string;
  readonly effect: RuleEffect;
  /** Which requests the rule is about; null for all. */
  readonly on: Conditions | null;
  readonly when: Conditions;
  readonly limit: LimitSpec | null;
}

export interface Policy {
  /** Slug, unique in the installation. */
  readonly name: string;
  readonly description: string;
  readonly layer: PolicyLayer;
  /** Names or ids of what the layer is about; `*` for each of them. Empty for the installation. */
  readonly targets: readonly string[];
  readonly mode: PolicyMode;
  readonly rules: readonly PolicyRule[];
}

/** A policy as it was written, and where. */
export interface PolicySource {
  readonly origin: 'file' | 'vault';
  /** Name of the file, or of the policy. */
  readonly place: string;
  readonly toml: string;
}
