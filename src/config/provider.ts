/**
 * A provider: what alterd must know of a third-party service to put a credential on requests to it. One TOML file each:
 *
 *   slug = "github"                     # equals the file name
 *   name = "GitHub"
 *   kind = "static"                     # static: the material is stored as it is. oauth: it is connected, and renewed; see [oauth]
 *   hosts = ["api.github.com"]          # NAME or NAME:PORT; `{field}` is filled from a field with secret = false; [] = the operator names them
 *   evidence = "general"                # general | documented | tested
 *   aliases = ["gh"]                    # other names for the slug
 *   docs_url = "https://…"
 *   excluded_paths = ["/login/oauth/**"]# never get the credential
 *   placeholder = "ghp_{random:36}"     # what an agent holds; {random:N} base62, {hex:N}
 *   [[fields]]                          # default: one secret field `token`
 *   name = "token"  label = "…"  secret = true  pattern = "regular expression for the whole value"  optional = true
 *   [[inject]]                          # in = header|query|cookie: name, template; in = basic: username, password; hosts narrows
 *                                       # in = sigv4: key_id, key, token, region, service, role; in = client_certificate: certificate, key
 *                                       # in = hmac: algorithm, key, key_encoding, message, encoding, timestamp, when, [[inject.headers]],
 *                                       # [[inject.query]]; in = jwt: algorithm, key, lifetime_s, header, claims, name, template
 *                                       # requests = "git" | "other": a place for git's own requests, or for all others
 *   only_paths, git_hosts, probe, [[shares_host_with]]: see provider-scope.ts
 *   [[agent_env]]                       # name, value: variables that agents expect; {placeholder} or a field with secret = false
 *   [oauth]                             # see provider-oauth.ts; a static provider may have it too, then it has both ways
 *
 * SECURITY: a file decides where a credential goes, so hosts are exact and every problem makes the whole file unusable.
 */
import { basename } from 'node:path';
import type { Injection } from '../domain/credential.ts';
import { AlterError } from '../domain/errors.ts';
import { validateInjections } from '../injection/compile.ts';
import { compileTemplate } from '../injection/template.ts';
import { validatePathGlob } from '../policy/path.ts';
import { placeholderProblem } from './placeholder.ts';
import { canonicalHost, FIELD_REFERENCE, referencesOf } from './provider-hosts.ts';
import { OAUTH_FIELDS, type ProviderOAuth, readOAuth } from './provider-oauth.ts';
import { type ProviderScope, readScope } from './provider-scope.ts';
import { readSigning, SIGNING_KINDS } from './signing-reader.ts';
import { TableReader } from './table-reader.ts';
import { parseToml } from './toml-document.ts';

/** Where the material comes from, usually. */
export type ProviderKind = 'static' | 'oauth';

/** How sure the catalogue is: general knowledge, the provider's documentation, or a run against the live service. */
export type ProviderEvidence = 'general' | 'documented' | 'tested';

export interface ProviderField {
  readonly name: string;
  /** For the prompt. */
  readonly label: string;
  /** False for values that are no secret (a site, an account id): they may appear in hosts and in agents' variables. */
  readonly secret: boolean;
  /** It may be left out, and is empty then. */
  readonly optional?: boolean;
  /** Regular expression that the whole value must match. */
  readonly pattern?: string;
}

export interface ProviderSpec extends ProviderScope {
  readonly slug: string;
  readonly name: string;
  readonly kind: ProviderKind;
  readonly fields: readonly ProviderField[];
  /** `host` or `host:port`; may contain `{field}`, see provider-hosts.ts. Empty: the operator gives the hosts. */
  readonly hosts: readonly string[];
  /** For secrets that are stored as they are; empty when the provider has OAuth alone. */
  readonly inject: readonly Injection[];
  /** How grants are connected; absent when the provider has no OAuth. */
  readonly oauth?: ProviderOAuth;
  readonly excludedPaths: readonly string[];
  readonly placeholder: string | null;
  readonly agentEnv: readonly { readonly name: string; readonly value: string }[];
  readonly docsUrl?: string;
  readonly evidence: ProviderEvidence;
  readonly aliases?: readonly string[];
}

const SLUG = /^[a-z0-9][a-z0-9-]{0,62}$/;
const FIELD_NAME = /^[a-z][a-z0-9_]{0,31}$/;
const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}$/;
const QUERY_NAME = /^[A-Za-z0-9_.~-]{1,100}$/;
const PRINTABLE = /^[ -~]*$/;
const DEFAULT_FIELDS: readonly ProviderField[] = [{ name: 'token', label: 'API token', secret: true }];

/** SECURITY: variables that choose code or a way around the proxy; a provider file must not be able to set them in an agent. */
const FORBIDDEN_VARIABLE =
  /^(?:PATH|HOME|SHELL|IFS|ENV|LD_.*|DYLD_.*|NODE_.*|PYTHON.*|BASH_.*|GIT_.*|SSL_.*|ALTERD_.*|.*_PROXY)$/i;

/**
 * Reads one provider file; all problems at once.
 * @throws AlterError invalid_input
 */
export function parseProvider(tomlText: string, fileName: string): ProviderSpec {
  const document = parseToml(tomlText);
  if ('problem' in document) {
    const place = document.line === null ? fileName : `${fileName}:${document.line}`;
    throw new AlterError('invalid_input', { problems: [`${place}: ${document.problem}`] });
  }
  const problems: string[] = [];
  const reader = new TableReader(document.table, '', (path, problem) => {
    const line = document.lineOf(path) ?? document.lineOf(path.replace(/\.[^.]*$/, ''));
    problems.push(`${line === null ? fileName : `${fileName}:${line}`}: ${path} ${problem}`);
  });
  const spec = readSpec(reader);
  if (spec.slug !== '' && fileName.endsWith('.toml') && basename(fileName, '.toml') !== spec.slug) {
    reader.problem('slug', `must equal the file name, ${basename(fileName, '.toml')}`);
  }
  if (problems.length > 0) throw new AlterError('invalid_input', { problems });
  return spec;
}

function readSpec(reader: TableReader): ProviderSpec {
  const slug = reader.text('slug', (text) => (SLUG.test(text) ? null : 'must be lower-case letters, digits and "-"'));
  const name = reader.text('name', (text) => (text !== '' && PRINTABLE.test(text) ? null : 'must be printable ASCII'));
  const kind = reader.choice('kind', ['static', 'oauth']);
  const evidence = reader.choice('evidence', ['general', 'documented', 'tested']);
  const fields = reader.has('fields') ? readFields(reader) : kind === 'oauth' && !reader.has('inject') ? [] : DEFAULT_FIELDS;
  if (!reader.has('hosts')) reader.problem('hosts', 'is missing (an empty list means that the operator names the hosts)');
  const hosts = readHosts(reader, fields);
  const inject = reader.tables('inject', (each) => readInjection(each, fields));
  const publicFields = fields.flatMap((field) => (field.secret ? [] : [field.name]));
  const oauth = reader.table('oauth', (each) =>
    readOAuth(each, {
      publicFields,
      readHost: (text) => readHostTemplate(text, fields),
      readInjection: (place, names) => readInjection(place, asFields(names, fields)),
    }),
  );
  if (kind === 'oauth' && oauth === undefined) reader.problem('oauth', 'is missing: kind = "oauth" needs the table [oauth]');
  if (inject.length === 0 && kind === 'oauth') {
    if (fields.length > publicFields.length) reader.problem('fields', 'are secret, but nothing injects them: add [[inject]]');
  } else if (inject.length === 0) reader.problem('inject', 'is missing: nothing would be injected');
  // Only what parsed so far is worth a second look: else each problem would be told twice.
  else if (reader.problems === 0) checkInjections(reader, 'inject', inject, fields);
  if (oauth !== undefined && reader.problems === 0)
    checkInjections(reader, 'oauth.inject', oauth.inject, asFields([...OAUTH_FIELDS, ...publicFields], fields));
  const docsUrl = reader.optionalText('docs_url', (text) => (/^https:\/\/[!-~]+$/.test(text) ? null : 'must be an https URL'));
  const aliases = reader.texts('aliases', 'lower-case letters, digits and "-"', (text) => (SLUG.test(text) ? text : null));
  const spec: ProviderSpec = {
    slug,
    name,
    kind,
    fields,
    hosts,
    inject,
    ...readScope(reader, hosts),
    ...(oauth === undefined ? {} : { oauth }),
    excludedPaths: reader.texts('excluded_paths', 'a path such as /oauth/**', (text) =>
      validatePathGlob(text) === null ? text : null,
    ),
    placeholder: reader.optionalText('placeholder', placeholderProblem) ?? null,
    agentEnv: reader.tables('agent_env', (each) => readVariable(each, fields)),
    ...(docsUrl === undefined ? {} : { docsUrl }),
    evidence,
    aliases,
  };
  reader.close();
  return spec;
}

/** SECURITY: templates of [oauth] see the access token and what is no secret, never the fields of a stored secret. */
const asFields = (names: readonly string[], own: readonly ProviderField[]): ProviderField[] =>
  names.map((name) => own.find((field) => field.name === name) ?? { name, label: name, secret: name === 'access_token' });

function readFields(reader: TableReader): ProviderField[] {
  const names = new Set<string>();
  return reader.tables('fields', (each) => {
    const name = each.text('name', (text) => {
      if (!FIELD_NAME.test(text) || text === 'placeholder')
        return 'must be lower-case letters, digits and "_", and not "placeholder"';
      return names.has(text) ? 'is there twice' : null;
    });
    names.add(name);
    const pattern = each.optionalText('pattern', patternProblem);
    return {
      name,
      label: each.text('label'),
      secret: each.toggle('secret', true),
      ...(each.toggle('optional', false) ? { optional: true } : {}),
      ...(pattern === undefined ? {} : { pattern }),
    };
  });
}

function patternProblem(text: string): string | null {
  try {
    new RegExp(`^(?:${text})$`);
    return null;
  } catch {
    return 'is not a regular expression';
  }
}

function readHosts(reader: TableReader, fields: readonly ProviderField[]): string[] {
  return reader.texts('hosts', 'HOST or HOST:PORT, with only {fields} that are no secret', (text) =>
    readHostTemplate(text, fields),
  );
}

/** The canonical form, templates kept; null when it is none. */
function readHostTemplate(text: string, fields: readonly ProviderField[]): string | null {
  const references = referencesOf(text);
  if (!references.every((name) => fields.some((field) => field.name === name && !field.secret))) return null;
  if (references.length === 0) return canonicalHost(text);
  const lower = text.toLowerCase();
  if (/^\{[a-z][a-z0-9_]*\}$/.test(lower)) return lower;
  // SECURITY: a free value at the end of a name would choose the registrable domain, so it must have a pattern.
  const last = /\{([a-z][a-z0-9_]*)\}(?::\d+)?$/.exec(lower)?.[1];
  if (last !== undefined && fields.find((field) => field.name === last)?.pattern === undefined) return null;
  return canonicalHost(lower.replaceAll(FIELD_REFERENCE, 'x1')) === null ? null : lower;
}

function readInjection(reader: TableReader, fields: readonly ProviderField[]): Injection {
  const where = reader.choice('in', ['header', 'basic', 'query', 'cookie', ...SIGNING_KINDS]);
  const narrowed = reader.has('hosts') ? { hosts: readHosts(reader, fields) } : {};
  // An injection is narrowed by name alone: a port would never match.
  if (narrowed.hosts?.some((host) => host.includes(':'))) reader.problem('hosts', 'must be names without a port');
  const template = (text: string): string | null => templateProblem(text, fields);
  if (where === 'sigv4' || where === 'hmac' || where === 'jwt' || where === 'client_certificate')
    return { ...readSigning(where, reader, template), ...narrowed };
  const requests = reader.optionalChoice('requests', ['git', 'other']);
  const rest = { ...narrowed, ...(requests === undefined ? {} : { requests }) };
  if (where === 'basic') {
    return { in: where, username: reader.text('username', template), password: reader.text('password', template), ...rest };
  }
  const shape = where === 'query' ? QUERY_NAME : HEADER_NAME;
  const name = reader.text('name', (text) => {
    const open = referencesOf(text).every((each) => fields.some((field) => field.name === each && !field.secret));
    if (!open) return 'may only hold {fields} that are no secret';
    return shape.test(text.replaceAll(FIELD_REFERENCE, 'x')) ? null : `is no name for a ${where}`;
  });
  return { in: where, name, template: reader.text('template', template), ...rest };
}

function templateProblem(text: string, fields: readonly ProviderField[]): string | null {
  const { problems } = compileTemplate(
    text,
    fields.map((field) => field.name),
  );
  if (problems.length > 0) return problems.join('; ');
  return PRINTABLE.test(text) ? null : 'must be printable ASCII';
}

/** What the injector itself would refuse, such as two values for one header. */
function checkInjections(reader: TableReader, key: string, inject: readonly Injection[], fields: readonly ProviderField[]): void {
  const sampled = inject.map((each) => ('name' in each ? { ...each, name: each.name.replaceAll(FIELD_REFERENCE, 'x') } : each));
  const names = fields.map((field) => field.name);
  for (const problem of validateInjections(sampled, names)) reader.problem(key, problem);
}

function readVariable(reader: TableReader, fields: readonly ProviderField[]): { name: string; value: string } {
  return {
    name: reader.text('name', (text) =>
      /^[A-Za-z_][A-Za-z0-9_]{0,127}$/.test(text) && !FORBIDDEN_VARIABLE.test(text)
        ? null
        : 'is no variable that a provider may set',
    ),
    value: reader.text('value', (text) => {
      // SECURITY: the value goes into the agent's environment: the placeholder and what is no secret, nothing else.
      const open = referencesOf(text).every(
        (name) => name === 'placeholder' || fields.some((field) => field.name === name && !field.secret),
      );
      return open && PRINTABLE.test(text) ? null : 'may only hold {placeholder} and {fields} that are no secret';
    }),
  };
}
