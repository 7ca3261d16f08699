/**
 * Reader for `[[identity.issuer]]`: the OIDC issuers whose users are known here. What would let a token through unchecked (an issuer
 * without TLS, `none`, a shared secret as a signing key) can't be written down.
 */
import type { Reader, Reading } from './reader.ts';
import { TableReader } from './table-reader.ts';

/** Where a token says what; a dot steps into an object, `realm_access.roles`. */
export interface ClaimNames {
  readonly subject: string;
  readonly email: string;
  readonly name: string;
  readonly groups: string;
}

export interface IssuerConfig {
  /** Short, for the command line. */
  readonly name: string;
  /** Exactly as the tokens say. */
  readonly issuer: string;
  readonly clientId: string;
  /** null: a public client, which PKCE protects alone. */
  readonly clientSecretFile: string | null;
  /** Tokens must be meant for one of these. */
  readonly audience: readonly string[];
  readonly algorithms: readonly string[];
  readonly claims: ClaimNames;
  readonly scopes: readonly string[];
}

const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'] as const;
const DEFAULT_ALGORITHMS = ['RS256', 'PS256', 'ES256', 'EdDSA'];
const DEFAULT_SCOPES = ['openid', 'profile', 'email'];
const NAME = /^[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?$/;

export const issuers: Reader<readonly IssuerConfig[]> = {
  read: (raw) => {
    if (!Array.isArray(raw) || !raw.every(isTable)) return { problem: 'must be written as [[identity.issuer]] tables' };
    const problems: string[] = [];
    const read = raw.map((table, i) => issuerOf(table, i, problems));
    for (const key of ['name', 'issuer'] as const) {
      const twice = read.find((each, i) => read.findIndex((other) => other[key] === each[key]) !== i);
      if (twice !== undefined) problems.push(`has two with the ${key} ${JSON.stringify(twice[key])}`);
    }
    return problems.length > 0 ? { problem: problems.join('; ') } : ({ value: read } satisfies Reading<readonly IssuerConfig[]>);
  },
  // Tables have no sensible form in one variable; the text is refused by the reader above.
  fromText: (text) => text,
};

const isTable = (raw: unknown): raw is Record<string, unknown> =>
  typeof raw === 'object' && raw !== null && !Array.isArray(raw) && !(raw instanceof Date);

function issuerOf(table: Record<string, unknown>, index: number, problems: string[]): IssuerConfig {
  // `audience = "x"` is what people write for one.
  const given = { ...table, ...(typeof table.audience === 'string' ? { audience: [table.audience] } : {}) };
  const reader = new TableReader(given, `[${index}].`, (path, problem) => problems.push(`${path} ${problem}`));
  const word = (value: string): string | null => (value.length > 0 && value.length <= 512 ? value : null);
  const listOr = (key: string, expected: string, read: (value: string) => string | null, initial: readonly string[]): string[] =>
    reader.has(key) ? reader.texts(key, expected, read) : [...initial];
  const clientId = reader.text('client_id', (text) => (word(text) === null ? 'must not be empty' : null));
  const claim = (key: string, initial: string): string =>
    reader.optionalText(key, (text) => (word(text) === null ? 'must name a claim' : null)) ?? initial;
  const config: IssuerConfig = {
    name: reader.text('name', (text) => (NAME.test(text) ? null : 'must be lower-case letters, digits, "-" and "_"')),
    issuer: reader.text('issuer', issuerProblem),
    clientId,
    clientSecretFile: reader.optionalText('client_secret_file') || null,
    audience: listOr('audience', 'an audience', word, [clientId]),
    algorithms: listOr(
      'algorithms',
      `one of ${ALGORITHMS.join(', ')}`,
      // SECURITY: `none` is no signature, and with HS* whoever knows the client's secret could sign as anybody.
      (value) => (ALGORITHMS.some((known) => known === value) ? value : null),
      DEFAULT_ALGORITHMS,
    ),
    claims: {
      subject: claim('subject_claim', 'sub'),
      email: claim('email_claim', 'email'),
      name: claim('name_claim', 'name'),
      groups: claim('groups_claim', 'groups'),
    },
    scopes: listOr('scopes', 'a scope', (value) => (/^[\x21\x23-\x5b\x5d-\x7e]+$/.test(value) ? value : null), DEFAULT_SCOPES),
  };
  // An empty list would let any audience or no algorithm pass, depending on who reads it.
  if (config.audience.length === 0) reader.problem('audience', 'must name at least one');
  if (config.algorithms.length === 0) reader.problem('algorithms', 'must name at least one');
  reader.close();
  return config;
}

function issuerProblem(text: string): string | null {
  const problem = 'must be an https:// URL without query and fragment';
  try {
    const url = new URL(text);
    const isPlain =
      url.protocol === 'https:' && url.search === '' && url.hash === '' && url.username === '' && url.password === '';
    return isPlain && !/[\s#?]/.test(text) ? null : problem;
  } catch {
    return problem;
  }
}
