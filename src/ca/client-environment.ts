/**
 * Client environment: which variables make the programs of an agent use the proxy and trust the local CA. PURE: from values to
 * values, no file is read and nothing is set. The environment is convenience, not enforcement: a program may ignore it.
 * The agent's key may appear in proxy URLs only, never in a variable that a client prints (JAVA_TOOL_OPTIONS is printed).
 */
import type { Secret } from '../domain/secret.ts';
import { TRUSTSTORE_PASSWORD } from './truststore.ts';

export interface ClientEnvironmentInput {
  readonly host: string;
  readonly port: number;
  /** Free label; becomes the user name of the proxy URL. */
  readonly user: string;
  readonly key: Secret;
  /** The local CA alone: for variables that add to a client's roots. */
  readonly caFile: string;
  /** Roots and the local CA: for variables that replace a client's roots. */
  readonly bundleFile: string;
  /** PKCS12, for the JVM. */
  readonly truststoreFile?: string;
  /** The file of writeNodePreload. */
  readonly preloadFile: string;
  /** The file of writeWgetrc; leave it out where the user has a wgetrc of their own. */
  readonly wgetrcFile?: string;
  /** `v20.1.2`, when the version that will run is known; otherwise the preload decides for itself. */
  readonly nodeVersion?: string;
  /** Hosts that are reached directly. Never empty by accident. */
  readonly noProxy?: readonly string[];
  readonly inherited: NodeJS.ProcessEnv;
}

export interface ClientEnvironment {
  readonly set: Readonly<Record<string, string>>;
  readonly unset: readonly string[];
  /** What a person should know; not for each run. */
  readonly notes: readonly string[];
}

const DEFAULT_NO_PROXY = ['localhost', '127.0.0.1', '::1'];

/** Loopback is reached directly, but for the names of it that a grant covers: going around would look like success, without a credential. */
export const directHosts = (granted: readonly string[]): readonly string[] =>
  DEFAULT_NO_PROXY.filter((host) => !granted.includes(host));

/** Clients whose variable replaces their roots: all get the bundle. */
const BUNDLE_VARIABLES = [
  'SSL_CERT_FILE', // OpenSSL, Go, Ruby, httpx, aiohttp, rustls-native-certs, .NET
  'CURL_CA_BUNDLE',
  'REQUESTS_CA_BUNDLE',
  'AWS_CA_BUNDLE',
  'PIP_CERT',
  'GIT_SSL_CAINFO',
  'HTTPLIB2_CA_CERTS',
  'GRPC_DEFAULT_SSL_ROOTS_FILE_PATH',
  'CARGO_HTTP_CAINFO',
  'PERL_LWP_SSL_CA_FILE',
  'CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE',
  'NIX_SSL_CERT_FILE',
  'npm_config_cafile',
] as const;

const bracketed = (host: string): string => (host.includes(':') ? `[${host}]` : host);

/** `http://USER:KEY@HOST:PORT`. */
export function proxyUrlOf(input: Pick<ClientEnvironmentInput, 'host' | 'port' | 'user' | 'key'>): string {
  const credentials = `${encodeURIComponent(input.user)}:${encodeURIComponent(input.key.reveal())}`;
  return `http://${credentials}@${bracketed(input.host)}:${input.port}`;
}

/** One argument inside NODE_OPTIONS: Node splits at spaces, and knows double quotes with backslash escapes inside them. */
const nodeArgument = (path: string): string => (/[\s"\\]/.test(path) ? `"${path.replace(/[\\"]/g, '\\$&')}"` : path);

/** One word of JAVA_TOOL_OPTIONS: either quote encloses, nothing escapes. Null when the value holds both. */
function javaArgument(word: string): string | null {
  if (!/[\s'"]/.test(word)) return word;
  if (!word.includes('"')) return `"${word}"`;
  return word.includes("'") ? null : `'${word}'`;
}

const appended = (before: string | undefined, added: string): string => {
  if (before === undefined || before.trim() === '') return added;
  return before.includes(added) ? before : `${before} ${added}`;
};

function proxyVariables(input: ClientEnvironmentInput): Record<string, string> {
  const url = proxyUrlOf(input);
  const direct = [...new Set(input.noProxy ?? DEFAULT_NO_PROXY)].join(',');
  return {
    HTTPS_PROXY: url,
    https_proxy: url,
    HTTP_PROXY: url,
    // curl and wget read only the lower-case name for http.
    http_proxy: url,
    grpc_proxy: url,
    NO_PROXY: direct,
    no_proxy: direct,
    no_grpc_proxy: direct,
    NODE_USE_ENV_PROXY: '1',
    PERL_LWP_ENV_PROXY: '1',
  };
}

function trustVariables(input: ClientEnvironmentInput): Record<string, string> {
  // These two add to built-in roots, so the CA alone is enough, unless the caller had added one already that must survive.
  const extra = input.inherited.NODE_EXTRA_CA_CERTS ? input.bundleFile : input.caFile;
  return {
    NODE_EXTRA_CA_CERTS: extra,
    DENO_CERT: input.inherited.DENO_CERT ? input.bundleFile : input.caFile,
    ...Object.fromEntries(BUNDLE_VARIABLES.map((name) => [name, input.bundleFile])),
    ...(input.wgetrcFile !== undefined && !input.inherited.WGETRC ? { WGETRC: input.wgetrcFile } : {}),
  };
}

/** Git asks without credentials first and wants the 407; telling it the method saves a round trip. */
function gitVariables(inherited: NodeJS.ProcessEnv): Record<string, string> {
  const given = /^\d{1,4}$/.test(inherited.GIT_CONFIG_COUNT ?? '') ? Number(inherited.GIT_CONFIG_COUNT) : 0;
  for (let i = 0; i < given; i++) {
    if (inherited[`GIT_CONFIG_KEY_${i}`]?.toLowerCase() === 'http.proxyauthmethod') return {};
  }
  return {
    GIT_CONFIG_COUNT: String(given + 1),
    [`GIT_CONFIG_KEY_${given}`]: 'http.proxyAuthMethod',
    [`GIT_CONFIG_VALUE_${given}`]: 'basic',
  };
}

function javaOptions(input: ClientEnvironmentInput, notes: string[]): string[] {
  const direct = (input.noProxy ?? DEFAULT_NO_PROXY)
    .map((host) => (host.startsWith('.') ? `*${host}` : bracketed(host)))
    .join('|');
  const words = [
    `-Dhttps.proxyHost=${input.host}`,
    `-Dhttps.proxyPort=${input.port}`,
    `-Dhttp.proxyHost=${input.host}`,
    `-Dhttp.proxyPort=${input.port}`,
    `-Dhttp.nonProxyHosts=${direct}`,
    // Basic over CONNECT is off by default in the JDK.
    '-Djdk.http.auth.tunneling.disabledSchemes=',
  ];
  const trust = input.truststoreFile === undefined ? null : javaArgument(`-Djavax.net.ssl.trustStore=${input.truststoreFile}`);
  if (trust === null)
    notes.push('Java: there is no truststore, so Java programs will not trust intercepted hosts (keytool makes one).');
  else words.push(trust, '-Djavax.net.ssl.trustStoreType=PKCS12', `-Djavax.net.ssl.trustStorePassword=${TRUSTSTORE_PASSWORD}`);
  return words;
}

/** Whether this Node takes NODE_USE_ENV_PROXY for fetch, http and https alike. */
function needsPreload(version: string | undefined): boolean {
  const [, major = '0', minor = '0'] = /^v?(\d+)\.(\d+)/.exec(version ?? '') ?? [];
  const [m, n] = [Number(major), Number(minor)];
  return !(m >= 25 || (m === 24 && n >= 5) || (m === 22 && n >= 21));
}

function runtimeVariables(input: ClientEnvironmentInput, notes: string[]): Record<string, string> {
  const java = javaOptions(input, notes);
  const preload = needsPreload(input.nodeVersion);
  return {
    JAVA_TOOL_OPTIONS: appended(input.inherited.JAVA_TOOL_OPTIONS, java.join(' ')),
    // SECURITY: Maven's script puts this before a shell unquoted, so only words that no shell reads anything into go there.
    // The others reach Maven through JAVA_TOOL_OPTIONS; the command line wins over that, hence both.
    MAVEN_OPTS: appended(input.inherited.MAVEN_OPTS, java.filter((word) => /^[\w./:=@%+,-]+$/.test(word)).join(' ')),
    ...(preload ? { NODE_OPTIONS: appended(input.inherited.NODE_OPTIONS, `--require ${nodeArgument(input.preloadFile)}`) } : {}),
    // The host's own role is a credential that an agent must not find; asking for it through the proxy would only be refused.
    AWS_EC2_METADATA_DISABLED: input.inherited.AWS_EC2_METADATA_DISABLED ?? 'true',
  };
}

const STANDING_NOTES = [
  'Java: a JVM sends no proxy credentials by itself; the program needs an Authenticator, or identify it by its user id.',
  'Python: aiohttp needs trust_env=True, and urllib3 used directly ignores proxy variables.',
  'PHP: set curl.cainfo and openssl.cafile in php.ini to the bundle; PHP streams ignore proxy variables.',
  'Chromium: import the CA with certutil and pass --proxy-server; it sends no credentials from a proxy URL.',
  'ssh and other protocols than HTTP do not go through the proxy; for git use https remotes.',
];

/** Everything that `alterd run` and `alterd env` set, for every family of clients. */
export function clientEnvironment(input: ClientEnvironmentInput): ClientEnvironment {
  const notes: string[] = [];
  const runtimes = runtimeVariables(input, notes);
  const earlier = input.inherited.NO_PROXY ?? input.inherited.no_proxy ?? '';
  if (earlier !== '') notes.push(`NO_PROXY was ${JSON.stringify(earlier)} and is replaced: its hosts would go round the proxy.`);
  if (input.truststoreFile !== undefined || input.inherited.JAVA_TOOL_OPTIONS) {
    notes.push('Java prints one line about JAVA_TOOL_OPTIONS to stderr at each start.');
  }
  return {
    set: { ...proxyVariables(input), ...trustVariables(input), ...gitVariables(input.inherited), ...runtimes },
    // With SSL_CERT_DIR set, OpenSSL clients ignore SSL_CERT_FILE. ALL_PROXY adds nothing to the two above, and one that is
    // inherited (often socks) would divert or break clients that ask for it first.
    unset: ['SSL_CERT_DIR', 'ALL_PROXY', 'all_proxy'],
    notes: [...notes, ...STANDING_NOTES],
  };
}
