/**
 * The operator's own OAuth clients, one for each provider: id shown, secret sealed. alterd ships none.
 * Write-only: nothing here answers a client secret but open(), for the token client.
 */
import { randomUUID } from 'node:crypto';
import { AlterError } from '../../domain/errors.ts';
import { Secret } from '../../domain/secret.ts';
import type { ProviderClientRow } from '../../store/rows.ts';
import type { DataKeys } from '../data-keys.ts';
import { requireNone } from '../names.ts';
import type { ProviderSource } from '../provider-source.ts';
import type { VaultState } from '../state.ts';
import { oauthOf } from './endpoints.ts';
import type { OAuthClient } from './token-client.ts';

export interface ProviderClientInfo {
  readonly providerId: string;
  readonly clientId: string;
  readonly createdAt: number;
}

export interface NewProviderClient {
  readonly provider: string;
  readonly clientId: string;
  /** Null for a public client. */
  readonly clientSecret: Secret | null;
}

export interface ProviderClients {
  list(): ProviderClientInfo[];
  /** Registers a client, in place of the one that is there. @throws AlterError not_found, invalid_input, audit_unavailable, vault_unavailable */
  set(input: NewProviderClient): Promise<ProviderClientInfo>;
  /** @throws AlterError not_found, audit_unavailable, vault_unavailable */
  remove(provider: string): Promise<void>;
}

export class EmbeddedProviderClients implements ProviderClients {
  readonly #state: VaultState;
  readonly #dataKeys: DataKeys;
  readonly #catalogue: ProviderSource;

  constructor(parts: { readonly state: VaultState; readonly dataKeys: DataKeys; readonly catalogue: ProviderSource }) {
    this.#state = parts.state;
    this.#dataKeys = parts.dataKeys;
    this.#catalogue = parts.catalogue;
  }

  list(): ProviderClientInfo[] {
    return this.#state.rows.providerClients.map(infoOf);
  }

  set({ provider, clientId, clientSecret }: NewProviderClient): Promise<ProviderClientInfo> {
    const state = this.#state;
    return state.exclusive(async () => {
      const spec = this.#catalogue.find(provider);
      if (spec === undefined)
        throw new AlterError('not_found', { what: 'provider', name: provider, list_command: 'alterd provider list' });
      const oauth = oauthOf(spec);
      requireNone([
        oauth.ownClient === true
          ? `provider: each connection of ${spec.slug} brings its own client: \`alterd connect ${spec.slug} --client-credentials --client-id ID\``
          : undefined,
        /^[!-~]{1,512}$/.test(clientId) ? undefined : 'client_id: must be visible ASCII',
        clientSecret === null || /^[ -~]{1,4096}$/.test(clientSecret.reveal())
          ? undefined
          : 'client_secret: must be printable ASCII on one line',
        clientSecret === null && oauth.clientAuth === 'basic' ? 'client_secret: this provider asks for one' : undefined,
      ]);
      const before = state.rows.providerClients.find((row) => row.providerId === spec.slug);
      const identity = { id: before?.id ?? randomUUID(), version: (before?.version ?? 0) + 1 };
      const row: ProviderClientRow = {
        ...identity,
        ...this.#dataKeys.sealClient(identity.id, identity.version, clientSecret ?? new Secret('')),
        providerId: spec.slug,
        clientId,
        createdAt: state.now(),
      };
      await state.commit({ action: 'provider_client.set', credential: eventName(row), details: { client_id: clientId } }, [
        { put: 'provider_client', row },
      ]);
      return infoOf(row);
    });
  }

  remove(provider: string): Promise<void> {
    const state = this.#state;
    return state.exclusive(async () => {
      const row = this.#rowOf(this.#catalogue.find(provider)?.slug ?? provider);
      if (row === undefined)
        throw new AlterError('not_found', { what: 'client of', name: provider, list_command: 'alterd provider client list' });
      await state.commit({ action: 'provider_client.removed', credential: eventName(row) }, [
        { remove: 'provider_client', id: row.id },
      ]);
    });
  }

  /** The client with its secret, for token endpoints alone. @throws AlterError conflict when none is registered, vault_unavailable */
  open(providerId: string): OAuthClient {
    const row = this.#rowOf(providerId);
    if (row === undefined) {
      throw new AlterError('conflict', {
        reason: `No OAuth client of yours is registered for ${providerId}`,
        hint: `Make one at the provider, then: \`alterd provider client set ${providerId} --client-id ID\`.`,
      });
    }
    const secret = this.#dataKeys.openClient(row);
    return { clientId: row.clientId, secret: secret.length === 0 ? null : secret };
  }

  has(providerId: string): boolean {
    return this.#rowOf(providerId) !== undefined;
  }

  #rowOf(providerId: string): ProviderClientRow | undefined {
    return this.#state.rows.providerClients.find((row) => row.providerId === providerId);
  }
}

const eventName = (row: ProviderClientRow): { readonly name: string; readonly providerId: string } => ({
  name: row.providerId,
  providerId: row.providerId,
});

const infoOf = (row: ProviderClientRow): ProviderClientInfo => ({
  providerId: row.providerId,
  clientId: row.clientId,
  createdAt: row.createdAt,
});
