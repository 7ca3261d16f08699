/**
 * The Connect pages as one part of the daemon: sessions, and a listener that exists from the moment somebody needs it. An installation on which
 * nobody connects an account has no port that a browser could reach.
 */
import { readFileSync } from 'node:fs';
import type { Config } from '../config/schema.ts';
import { AlterError } from '../domain/errors.ts';
import type { Secret } from '../domain/secret.ts';
import type { ConnectSessionRequest } from '../vault/connect-session-request.ts';
import type { ConnectSession, ConnectSessions } from '../vault/connect-sessions.ts';
import type { ConnectFlows } from '../vault/oauth/connect-flows.ts';
import type { ProviderClients } from '../vault/oauth/provider-clients.ts';
import type { ProviderSource } from '../vault/provider-source.ts';
import { connectActions } from './connect-actions.ts';
import { type PageServer, servePages } from './server.ts';
import { shownProvider } from './shown-provider.ts';

export interface ConnectPagesOptions {
  readonly config: Config['connect'];
  readonly sessions: ConnectSessions;
  readonly flows: ConnectFlows;
  readonly providers: ProviderSource;
  readonly clients: Pick<ProviderClients, 'list'>;
  readonly onFault: (error: unknown) => void;
}

export interface MadeConnectSession {
  readonly id: string;
  readonly token: Secret;
  readonly expiresAt: number;
  readonly origin: string;
}

export class ConnectPages {
  readonly #options: ConnectPagesOptions;
  #server: Promise<PageServer> | null = null;
  #origin: string | null = null;

  constructor(options: ConnectPagesOptions) {
    this.#options = options;
  }

  /** Listens, if nothing did before. @throws AlterError conflict, invalid_input */
  async open(): Promise<PageServer> {
    this.#server ??= this.#listen();
    try {
      const server = await this.#server;
      this.#origin = server.origin;
      return server;
    } catch (thrown) {
      this.#server = null;
      throw thrown;
    }
  }

  /** Under which the pages answer; null while nothing listens. */
  get origin(): string | null {
    return this.#origin;
  }

  /** True while this token's link was not opened yet. */
  isWaiting(token: string): boolean {
    return this.#options.sessions.peek(token)?.phase === 'waiting';
  }

  /** @throws AlterError invalid_input, not_found, conflict, audit_unavailable */
  async create(request: ConnectSessionRequest): Promise<MadeConnectSession> {
    // What can't be connected is told to the operator now, not to the person later.
    for (const slug of request.providers) this.#requireUsable(slug, request.requiredScopes[slug] ?? []);
    const { origin } = await this.open();
    const made = await this.#options.sessions.create(request);
    return { id: made.id, token: made.token, expiresAt: made.expiresAt, origin };
  }

  sessions(): readonly ConnectSession[] {
    return this.#options.sessions.list();
  }

  async close(): Promise<void> {
    this.#origin = null;
    await (await this.#server?.catch(() => null))?.close();
    this.#server = null;
  }

  /** @throws AlterError not_found, invalid_input, conflict */
  #requireUsable(slug: string, scopes: readonly string[]): void {
    const { providers, clients } = this.#options;
    const { name } = shownProvider(providers, slug, scopes);
    const canonical = providers.find(slug)?.slug;
    if (!clients.list().some((client) => client.providerId === canonical))
      throw new AlterError('conflict', {
        reason: `alterd has no OAuth client at ${name}`,
        hint: `Make one at the provider, then: \`alterd provider client set ${slug} --client-id ID\`.`,
      });
  }

  async #listen(): Promise<PageServer> {
    const { config, sessions, flows, providers, onFault } = this.#options;
    const { listen, publicUrl, tlsCertFile, tlsKeyFile } = config;
    if (listen === null)
      throw new AlterError('conflict', {
        reason: 'The Connect page is off (connect.listen = "off")',
        hint: 'Set connect.listen in the configuration, then restart alterd.',
      });
    const tls =
      tlsCertFile === null || tlsKeyFile === null
        ? null
        : { cert: readPem(tlsCertFile, 'connect.tls_cert_file'), key: readPem(tlsKeyFile, 'connect.tls_key_file') };
    return servePages({
      listen,
      publicUrl,
      tls,
      onFault,
      actions: (origin) => connectActions({ sessions, flows, providers, origin, onFault }),
    });
  }
}

function readPem(path: string, key: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new AlterError(
      'invalid_input',
      { problems: [`${key}: ${path} can't be read (${code ?? 'unknown error'})`] },
      { cause },
    );
  }
}
