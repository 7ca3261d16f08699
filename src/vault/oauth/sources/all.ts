/** Which source renews the tokens of which flow. */
import type { OAuthFlow } from '../../../domain/credential.ts';
import { CLIENT_CREDENTIALS } from './client-credentials.ts';
import { GITHUB_APP } from './github-app.ts';
import { JWT_BEARER } from './jwt-bearer.ts';
import { REFRESH_TOKEN } from './refresh-token.ts';
import { TOKEN_EXCHANGE } from './token-exchange.ts';
import type { TokenSource } from './token-source.ts';

const SOURCES: readonly TokenSource[] = [REFRESH_TOKEN, CLIENT_CREDENTIALS, JWT_BEARER, TOKEN_EXCHANGE, GITHUB_APP];

export const sourceOf = (flow: OAuthFlow): TokenSource => SOURCES.find((source) => source.flows.includes(flow))!;
