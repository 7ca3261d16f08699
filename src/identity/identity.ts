/** The identity room as one thing: tokens for the data plane, sign-ins for the command line, over the same verifier. */
import type { IssuerConfig } from '../config/issuer-reader.ts';
import type { HttpsCall } from '../domain/https-call.ts';
import { Logins } from './logins.ts';
import { TokenVerifier } from './token-verifier.ts';
import { UserSessions } from './user-sessions.ts';
import { type UserDirectory, UserTokens } from './user-tokens.ts';

export interface Identity {
  readonly tokens: UserTokens;
  readonly logins: Logins;
  readonly sessions: UserSessions;
  readonly issuers: () => readonly IssuerConfig[];
}

export interface IdentityOptions {
  readonly call: HttpsCall;
  readonly users: UserDirectory;
  readonly isActive: (userId: string) => boolean;
  /** Of the configuration in force. */
  readonly issuers: () => readonly IssuerConfig[];
}

/** Loads no library and calls nobody until a user comes. */
export function openIdentity({ call, users, isActive, issuers }: IdentityOptions): Identity {
  const verifier = new TokenVerifier({ call });
  return {
    tokens: new UserTokens({ verifier, users, issuers }),
    logins: new Logins({ call, verifier, users, issuers }),
    sessions: new UserSessions(isActive),
    issuers,
  };
}
