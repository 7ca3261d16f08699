/**
 * `/v1/login`: people sign in. The command line shows where to go and waits; the daemon speaks to the issuer. The handle that comes of
 * it is in one answer only, and says who somebody is, never more.
 */
import { type Context, Hono } from 'hono';
import * as z from 'zod';
import type { SignedIn } from '../identity/logins.ts';
import type { ApiDeps } from './deps.ts';
import { readBody } from './input.ts';
import { type UserView, userView } from './people-views.ts';

const start = z.strictObject({ issuer: z.string().optional(), redirect_uri: z.string().max(512).optional() });
const end = z.strictObject({ callback_url: z.string().max(16_384).optional() });
const handle = z.strictObject({ user_session: z.string().max(128) });

/** How long one call waits for a person. */
const WAIT_MS = 20_000;

export interface StartedLogin {
  readonly login_id: string;
  readonly issuer: string;
  readonly authorization_url?: string;
  readonly user_code?: string;
  readonly verification_uri?: string;
  readonly verification_uri_complete?: string | null;
}

export interface LoginAnswer {
  readonly status: 'pending' | 'signed_in';
  readonly user?: UserView;
  readonly user_session?: string;
  readonly expires_at?: string;
}

export interface WhoAmI {
  readonly user: UserView;
  readonly issuer: string;
  readonly expires_at: string;
}

export function loginRoutes({ vault, identity }: ApiDeps): Hono {
  const routes = new Hono();
  const opened = async (c: Context, { user, issuerName }: SignedIn): Promise<Response> => {
    await vault.users.noteSignIn(user, 'user.signed_in');
    const { handle: text, session } = identity.sessions.open(user.id, issuerName);
    return c.json({
      status: 'signed_in',
      user: userView(user),
      // SECURITY: the only moment at which it leaves; the daemon keeps its hash.
      user_session: text.reveal(),
      expires_at: new Date(session.expiresAt).toISOString(),
    } satisfies LoginAnswer);
  };

  routes.post('/', async (c) => {
    const { issuer, redirect_uri: redirectUri } = await readBody(c, start);
    if (redirectUri !== undefined) {
      const { loginId, issuer: name, authorizationUrl } = await identity.logins.startBrowser(issuer, redirectUri);
      return c.json({ login_id: loginId, issuer: name, authorization_url: authorizationUrl } satisfies StartedLogin, 201);
    }
    const login = await identity.logins.startDevice(issuer);
    const answer: StartedLogin = {
      login_id: login.loginId,
      issuer: login.issuer,
      user_code: login.userCode,
      verification_uri: login.verificationUri,
      verification_uri_complete: login.verificationUriComplete,
    };
    return c.json(answer, 201);
  });

  routes.post('/:id', async (c) => {
    const { callback_url: callbackUrl } = await readBody(c, end);
    const id = c.req.param('id');
    if (callbackUrl !== undefined) return opened(c, await identity.logins.finishBrowser(id, callbackUrl));
    const signedIn = await identity.logins.awaitDevice(id, WAIT_MS);
    return signedIn === null ? c.json({ status: 'pending' } satisfies LoginAnswer) : opened(c, signedIn);
  });

  return routes;
}

/** `/v1/user-session`: what a handle stands for, and its end. POST, so that the handle is in no URL. */
export function userSessionRoutes({ vault, identity }: ApiDeps): Hono {
  const routes = new Hono();

  routes.post('/whoami', async (c) => {
    const session = identity.sessions.find((await readBody(c, handle)).user_session);
    return c.json({
      user: userView(vault.users.find(session.userId)),
      issuer: session.issuerName,
      expires_at: new Date(session.expiresAt).toISOString(),
    } satisfies WhoAmI);
  });

  routes.post('/end', async (c) => {
    const { user_session: text } = await readBody(c, handle);
    const { userId } = identity.sessions.find(text);
    await vault.users.noteSignIn(vault.users.find(userId), 'user.signed_out');
    identity.sessions.close(text);
    return c.body(null, 204);
  });

  return routes;
}
