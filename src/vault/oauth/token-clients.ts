/** Makes the token client of one connection: provider file, registered client and address policy brought together. */
import type { ProviderSpec } from '../../config/provider.ts';
import type { OAuthFlow } from '../../domain/credential.ts';
import { AlterError } from '../../domain/errors.ts';
import type { HttpsCall } from '../../domain/https-call.ts';
import type { Secret } from '../../domain/secret.ts';
import type { CredentialRow } from '../../store/rows.ts';
import type { ProviderSource } from '../provider-source.ts';
import type { PublicFields } from './endpoints.ts';
import type { EmbeddedProviderClients } from './provider-clients.ts';
import { type OAuthClient, TokenClient } from './token-client.ts';

export interface TokenClientsParts {
  readonly https: HttpsCall;
  readonly clients: EmbeddedProviderClients;
  readonly catalogue: ProviderSource;
  readonly now: () => number;
}

export class TokenClients {
  readonly #parts: TokenClientsParts;

  constructor(parts: TokenClientsParts) {
    this.#parts = parts;
  }

  /** By slug or alias. @throws AlterError not_found */
  providerOf(name: string): ProviderSpec {
    const spec = this.#parts.catalogue.find(name);
    if (spec === undefined) throw new AlterError('not_found', { what: 'provider', name, list_command: 'alterd provider list' });
    return spec;
  }

  /**
   * @param own the connection's own client, for a provider whose connections have one
   * @throws AlterError conflict when the flow needs a client and none is registered
   */
  forFlow(
    spec: ProviderSpec,
    flow: OAuthFlow,
    fields: PublicFields,
    allowPrivate: boolean,
    own: OAuthClient | null = null,
  ): TokenClient {
    const { https, clients, now } = this.#parts;
    // A service account signs for itself.
    const isClientless = flow === 'jwt_bearer' && !clients.has(spec.slug);
    const client = own ?? (isClientless ? { clientId: '', secret: null } : clients.open(spec.slug));
    return new TokenClient({ https, spec, fields, client, allowPrivate, now });
  }

  /**
   * For a stored credential.
   * @param material its opened fields, among which its own client's secret may be
   * @throws AlterError not_found, conflict, vault_unavailable
   */
  forCredential(row: CredentialRow, material: ReadonlyMap<string, Secret>): TokenClient {
    const oauth = row.oauth!;
    const spec = this.providerOf(row.providerId);
    const own =
      spec.oauth?.ownClient === true
        ? { clientId: row.publicFields.client_id ?? '', secret: material.get('client_secret') ?? null }
        : null;
    return this.forFlow(spec, oauth.flow, row.publicFields, oauth.allowPrivate, own);
  }
}
