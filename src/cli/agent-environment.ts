/**
 * The environment in which an agent's programs find the proxy, trust the local CA and hold placeholders in place of secrets.
 * The session key is in proxy URLs only; nothing here prints or stores it.
 */
import { createHash, X509Certificate } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import type { CaView } from '../api/ca.ts';
import { type ApiClient, apiPath } from '../api/client.ts';
import type { NewSessionView } from '../api/sessions.ts';
import type { StatusView } from '../api/status.ts';
import { type ClientEnvironment, clientEnvironment, directHosts } from '../ca/client-environment.ts';
import { writeBundle, writeWgetrc } from '../ca/trust.ts';
import { ensureTruststore } from '../ca/truststore.ts';
import { AlterError } from '../domain/errors.ts';
import { Secret } from '../domain/secret.ts';
import { writeGoogleCredentials } from './google-credentials.ts';

export interface SessionOptions {
  readonly agent: string;
  readonly grantIds?: readonly string[] | undefined;
  readonly denials?: object | undefined;
  readonly ttlMs?: number | undefined;
  readonly label?: string | undefined;
  /** The sign-in of the person whom it is for. */
  readonly userSession?: string | undefined;
}

export interface AgentSession {
  readonly sessionId: string;
  readonly agent: string;
  readonly expiresAt: string;
  readonly environment: ClientEnvironment;
  /** What a person should know before a program runs with it: calls that take another way than usual. */
  readonly loopback: string | null;
}

/** Mints a session key and the variables that go with it. @throws AlterError not_found, conflict, invalid_input, vault_unavailable */
export async function openAgentSession(
  client: ApiClient,
  options: SessionOptions,
  inherited: NodeJS.ProcessEnv,
): Promise<AgentSession> {
  const [status, ca] = await Promise.all([client.read<StatusView>(apiPath('status')), client.read<CaView>(apiPath('ca'))]);
  const { host, port } = tcpAddress(status.proxy.tcp);
  requireOwnCa(status.ca_file, ca);
  const session = await client.send<NewSessionView>(apiPath('sessions'), {
    agent: options.agent,
    grant_ids: options.grantIds,
    ...options.denials,
    ttl_ms: options.ttlMs,
    label: options.label,
    user_session: options.userSession,
  });
  const stubs = stubVariables(session, host, port, status.bundle_file);
  // SDKs ask the stub of AWS credentials there, and it answers who comes to it directly.
  const through = (session.loopback_hosts ?? []).filter((each) => stubs[AWS_STUB] === undefined || each !== host);
  const loopback = loopbackNote(through);
  const environment = clientEnvironment({
    noProxy: directHosts(through),
    host,
    port,
    user: session.proxy_user,
    key: new Secret(session.key),
    caFile: status.ca_file,
    inherited,
    ...(await clientFiles(status, ca, inherited)),
  });
  return {
    sessionId: session.session_id,
    agent: session.agent,
    expiresAt: session.expires_at,
    environment: {
      // SECURITY: a placeholder takes the place of a real credential that the caller's own environment may hold.
      set: {
        ...environment.set,
        ...session.agent_env,
        ...stubs,
        ALTERD_AGENT: session.agent,
        ALTERD_SESSION: session.session_id,
      },
      unset: environment.unset,
      notes: [...session.notes, ...(loopback === null ? [] : [loopback]), ...environment.notes],
    },
    loopback,
  };
}

const AWS_STUB = 'AWS_CONTAINER_CREDENTIALS_FULL_URI';

const loopbackNote = (hosts: readonly string[]): string | null =>
  hosts.length === 0
    ? null
    : `Calls to ${hosts.join(' and ')} go through alterd, since a grant names it: other ports there are refused. Go programs never use a proxy for loopback.`;

/**
 * Credential endpoints for SDKs that take no key from the environment: they answer placeholders. The AWS one is asked without a proxy, and
 * by SDKs on loopback alone; its token is the key that the proxy URL has as well.
 */
function stubVariables(session: NewSessionView, host: string, port: number, bundleFile: string): Record<string, string> {
  const found: Record<string, string> = {};
  const isLoopback = host === '::1' || /^127\./.test(host);
  if (session.agent_env.AWS_ACCESS_KEY_ID !== undefined && isLoopback) {
    const pair = Buffer.from(`${session.proxy_user}:${session.key}`).toString('base64');
    found[AWS_STUB] = `http://${host.includes(':') ? `[${host}]` : host}:${port}/aws/credentials`;
    found.AWS_CONTAINER_AUTHORIZATION_TOKEN = `Basic ${pair}`;
  }
  if (session.agent_env.GOOGLE_ACCESS_TOKEN !== undefined) {
    const file = writeGoogleCredentials(join(dirname(bundleFile), 'clients'));
    if (file !== null) found.GOOGLE_APPLICATION_CREDENTIALS = file;
  }
  return found;
}

/** The child's whole environment. */
export function applied(environment: ClientEnvironment, inherited: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const result: NodeJS.ProcessEnv = { ...inherited, ...environment.set };
  for (const name of environment.unset) delete result[name];
  return result;
}

/** SECURITY: a client that is told to trust a planted certificate trusts whoever planted it, with everything it sends (S-81). */
function requireOwnCa(file: string, ca: CaView): void {
  let onDisk: string;
  try {
    onDisk = new X509Certificate(readFileSync(file)).fingerprint256;
  } catch (cause) {
    // Nobody trusts a file that can't be read: the client will say so itself.
    if (['EACCES', 'ENOENT'].includes((cause as NodeJS.ErrnoException).code ?? '')) return;
    onDisk = 'none';
  }
  if (onDisk === ca.fingerprint_sha256) return;
  throw new AlterError(
    'conflict',
    { reason: `${file} is not the CA that the daemon uses` },
    { hint: 'Find out who wrote it, then restart the daemon: it writes the file anew.' },
  );
}

function tcpAddress(address: string | null): { host: string; port: number } {
  const match = /^(.*):(\d+)$/.exec(address ?? '');
  if (match !== null) return { host: (match[1] ?? '').replace(/^\[|\]$/g, ''), port: Number(match[2]) };
  throw new AlterError(
    'conflict',
    { reason: 'nothing listens for agents on TCP here, which proxy variables need' },
    {
      hint: 'On a central vault agents run on its hosts: `alterd vault host assign HOST --agent NAME`. On a daemon set listen.tcp = "127.0.0.1:4780" and restart it.',
    },
  );
}

interface ClientFiles {
  readonly bundleFile: string;
  readonly preloadFile: string;
  readonly truststoreFile?: string;
  readonly wgetrcFile?: string;
}

/** Files beside the CA that some families of clients need; what can't be written is left out. */
async function clientFiles(status: StatusView, ca: CaView, inherited: NodeJS.ProcessEnv): Promise<ClientFiles> {
  const dir = dirname(status.bundle_file);
  const bundleFile = bundleFor(status, ca, inherited);
  const javaDir = join(dir, 'clients');
  const truststore = await attempt(() => {
    mkdirSync(javaDir, { recursive: true, mode: 0o755 });
    return ensureTruststore({
      caFile: status.ca_file,
      fingerprintSha256: ca.fingerprint_sha256,
      outDir: javaDir,
      environment: inherited,
    });
  });
  const hasOwnWgetrc = existsSync(join(inherited.HOME ?? homedir(), '.wgetrc'));
  const wgetrcFile = hasOwnWgetrc
    ? undefined
    : await attempt(() => writeWgetrc(bundleFile, join(javaDir, `wgetrc-${tagOf(bundleFile)}`)));
  return {
    bundleFile,
    preloadFile: join(dir, 'node-preload.cjs'),
    ...(truststore?.available === true ? { truststoreFile: truststore.file } : {}),
    ...(wgetrcFile === undefined ? {} : { wgetrcFile }),
  };
}

/** The daemon's bundle, or one of its own for a caller that trusts roots of its own (a company's). */
function bundleFor(status: StatusView, ca: CaView, inherited: NodeJS.ProcessEnv): string {
  const own = [inherited.SSL_CERT_FILE, inherited.SSL_CERT_DIR, inherited.NODE_EXTRA_CA_CERTS].filter(
    (path) => path && path !== status.bundle_file && path !== status.ca_file && !path.startsWith(dirname(status.bundle_file)),
  );
  if (own.length === 0) return status.bundle_file;
  const outFile = join(dirname(status.bundle_file), 'clients', `bundle-${tagOf(own.join('\0'))}.pem`);
  try {
    return writeBundle({ caPem: ca.pem, inherited, outFile }).file;
  } catch {
    return status.bundle_file;
  }
}

const tagOf = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 12);

async function attempt<T>(make: () => T | Promise<T>): Promise<T | undefined> {
  try {
    return await make();
  } catch {
    return undefined;
  }
}
