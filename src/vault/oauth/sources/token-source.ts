/** Where the next access token of a credential comes from. One file for each kind; none knows how tokens are stored or when. */
import type { OAuthFlow } from '../../../domain/credential.ts';
import type { Secret } from '../../../domain/secret.ts';
import type { TokenAnswer } from '../token-answer.ts';
import type { TokenClient } from '../token-client.ts';

export interface SourceContext {
  readonly client: TokenClient;
  /** The sealed fields of the credential. */
  readonly material: ReadonlyMap<string, Secret>;
  /** What was granted or asked for. */
  readonly scopes: readonly string[];
}

export interface TokenSource {
  readonly flows: readonly OAuthFlow[];
  /** Sealed fields beside the tokens that it needs. */
  readonly inputs: readonly string[];
  /** False when only a person can bring a new token. */
  mayRenew(context: SourceContext): boolean;
  /** True when what is sent can be used once: its use is written down before. */
  isSingleUse(context: SourceContext): boolean;
  /** @throws TokenFailure */
  next(context: SourceContext): Promise<TokenAnswer>;
}
