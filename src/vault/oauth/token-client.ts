/**
 * Asks token endpoints: our own client, because strict ones refuse what real providers answer. It authenticates the operator's client,
 * sends one POST through the HttpsCall port and reads the answer. It must never retry: a code or a refresh token may be good for one use.
 */
import type { ProviderSpec } from '../../config/provider.ts';
import type { OAuthClientAuth } from '../../config/provider-oauth.ts';
import { toAlterError } from '../../domain/errors.ts';
import type { HttpsAnswer, HttpsCall, HttpsRequest } from '../../domain/https-call.ts';
import type { Secret } from '../../domain/secret.ts';
import { endpointOf, oauthOf, type PublicFields } from './endpoints.ts';
import { readTokenAnswer, type TokenAnswer, TokenFailure } from './token-answer.ts';

export interface OAuthClient {
  readonly clientId: string;
  /** Null for a public client. */
  readonly secret: Secret | null;
}

/** One connection as the token client sees it. */
export interface TokenClientParts {
  readonly https: HttpsCall;
  readonly spec: ProviderSpec;
  readonly fields: PublicFields;
  readonly client: OAuthClient;
  readonly allowPrivate: boolean;
  readonly now: () => number;
}

export type Parameters = Readonly<Record<string, string>>;

export class TokenClient {
  readonly #parts: TokenClientParts;

  constructor(parts: TokenClientParts) {
    this.#parts = parts;
  }

  get parts(): TokenClientParts {
    return this.#parts;
  }

  endpoint(template: string, more: PublicFields = {}): string {
    return endpointOf(this.#parts.spec, template, this.#parts.fields, more);
  }

  /** @throws TokenFailure */
  async token(parameters: Parameters, url: string = this.endpoint(oauthOf(this.#parts.spec).tokenUrl)): Promise<TokenAnswer> {
    return this.read(await this.post(url, parameters));
  }

  /** @throws TokenFailure */
  read(answer: HttpsAnswer): TokenAnswer {
    const { tokenPath, expiresInDefaultS } = oauthOf(this.#parts.spec);
    return readTokenAnswer(answer, { now: this.#parts.now(), tokenPath, expiresInDefaultS });
  }

  /** A POST with the client's authentication. @throws TokenFailure when nothing was answered */
  post(url: string, parameters: Parameters): Promise<HttpsAnswer> {
    const { client, spec } = this.#parts;
    const { clientAuth, clientIdParameter } = oauthOf(spec);
    return this.send({ method: 'POST', url, ...authenticated(parameters, client, clientAuth, clientIdParameter) });
  }

  /** @throws TokenFailure when nothing was answered */
  async send(request: Omit<HttpsRequest, 'allowPrivate'>): Promise<HttpsAnswer> {
    try {
      return await this.#parts.https({
        ...request,
        headers: { accept: 'application/json', ...request.headers },
        allowPrivate: this.#parts.allowPrivate,
      });
    } catch (thrown) {
      const error = toAlterError(thrown);
      // SECURITY: an address that may not be dialled is a matter of setup: trying again would only probe it (S-102).
      throw new TokenFailure(error.code === 'destination_refused' ? 'setup' : 'transient', error.code);
    }
  }
}

const formEncoded = (text: string): string => encodeURIComponent(text).replaceAll('%20', '+');

function authenticated(
  parameters: Parameters,
  { clientId, secret }: OAuthClient,
  auth: OAuthClientAuth,
  clientIdParameter: string,
): { readonly headers: Readonly<Record<string, string>>; readonly body: Buffer } {
  const all: Record<string, string> = { ...parameters };
  const headers: Record<string, string> = {};
  if (auth === 'basic' && secret !== null) {
    // RFC 6749 2.3.1: both are form-encoded first.
    const pair = `${formEncoded(clientId)}:${formEncoded(secret.reveal())}`;
    headers.authorization = `Basic ${Buffer.from(pair, 'utf8').toString('base64')}`;
  } else {
    if (clientId !== '') all[clientIdParameter] = clientId;
    if (secret !== null && auth !== 'none') all.client_secret = secret.reveal();
  }
  const isJson = auth === 'json_body';
  headers['content-type'] = isJson ? 'application/json' : 'application/x-www-form-urlencoded';
  return { headers, body: Buffer.from(isJson ? JSON.stringify(all) : new URLSearchParams(all).toString(), 'utf8') };
}
