/** Tokens against an issuer that is a table of answers: rotation, outages, impostors, and what is kept of the claims. */
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { beforeAll, describe, expect, it } from 'vitest';
import type { IssuerConfig } from '../../../src/config/issuer-reader.ts';
import type { HttpsAnswer, HttpsCall } from '../../../src/domain/https-call.ts';
import type { User, UserClaims } from '../../../src/domain/user.ts';
import { claimsOf } from '../../../src/identity/claims.ts';
import { TokenVerifier } from '../../../src/identity/token-verifier.ts';
import { UserTokens } from '../../../src/identity/user-tokens.ts';

const ISSUER = 'https://login.good.test/realm';
const KEYS = 'https://keys.good.test/jwks';
const CONFIG: IssuerConfig = {
  name: 'corp',
  issuer: ISSUER,
  clientId: 'alterd',
  clientSecretFile: null,
  audience: ['alterd'],
  algorithms: ['ES256'],
  claims: { subject: 'sub', email: 'email', name: 'name', groups: 'groups' },
  scopes: ['openid'],
};

type Key = Awaited<ReturnType<typeof mint>>;
const mint = async (kid: string) => {
  const { privateKey } = await generateKeyPair('ES256', { extractable: true });
  const { d: _private, ...jwk } = await exportJWK(privateKey);
  return { kid, privateKey, jwk: { ...jwk, kid, alg: 'ES256' } };
};
let one: Key;
let two: Key;
beforeAll(async () => {
  [one, two] = [await mint('one'), await mint('two')];
});

const sign = (key: Key, claims: object = {}): Promise<string> =>
  new SignJWT({ sub: 'anna', ...claims })
    .setProtectedHeader({ alg: 'ES256', kid: key.kid })
    .setIssuer(ISSUER)
    .setAudience('alterd')
    .setIssuedAt()
    .setExpirationTime('5m')
    .sign(key.privateKey);

/** An issuer that shows these keys, and what it was asked. */
function issuerWith(keys: readonly Key[], document: object = { issuer: ISSUER, jwks_uri: KEYS }) {
  const state = { keys, asked: [] as string[], down: false };
  const json = (value: object): HttpsAnswer => ({
    status: 200,
    contentType: 'application/json',
    retryAfterS: null,
    body: Buffer.from(JSON.stringify(value)),
  });
  const call: HttpsCall = async ({ url }) => {
    state.asked.push(url);
    if (state.down) throw new Error('down');
    return url === KEYS ? json({ keys: state.keys.map(({ jwk }) => jwk) }) : json(document);
  };
  return { state, call };
}

const refused = (code: string, text: RegExp) => expect.objectContaining({ code, message: expect.stringMatching(text) });

describe('the issuer', () => {
  it('is asked once for many tokens, below its own path', async () => {
    const { state, call } = issuerWith([one]);
    const verifier = new TokenVerifier({ call });
    await Promise.all([1, 2, 3].map(async () => verifier.verify(await sign(one), [CONFIG])));
    expect(state.asked).toEqual([`${ISSUER}/.well-known/openid-configuration`, KEYS]);
  });

  it('may take a new key: one look-up finds it, and a made-up key causes none within the rest', async () => {
    const { state, call } = issuerWith([one]);
    const eager = new TokenVerifier({ call, cooldownMs: 0 });
    await eager.verify(await sign(one), [CONFIG]);
    state.keys = [two];
    expect((await eager.verify(await sign(two), [CONFIG])).subject).toBe('anna');
    await expect(eager.verify(await sign(one), [CONFIG])).rejects.toThrow(refused('re_auth_required', /does not show/));
    const calm = new TokenVerifier({ call });
    await calm.verify(await sign(two), [CONFIG]);
    const before = state.asked.length;
    for (const _ of [1, 2, 3])
      await expect(calm.verify(await sign(one), [CONFIG])).rejects.toThrow(refused('re_auth_required', /does not show/));
    expect(state.asked.length).toBe(before);
  });

  it('that is out of reach refuses nobody for good, and is left alone for a while', async () => {
    const { state, call } = issuerWith([one]);
    const clock = { now: Date.now() };
    const verifier = new TokenVerifier({ call, now: () => clock.now });
    state.down = true;
    const token = await sign(one);
    for (const _ of [1, 2])
      await expect(verifier.verify(token, [CONFIG])).rejects.toThrow(refused('vault_unavailable', /"corp"/));
    expect(state.asked).toHaveLength(1);
    state.down = false;
    clock.now += 10_000;
    expect((await verifier.verify(token, [CONFIG])).issuer).toBe(ISSUER);
  });

  it.each([
    ['of another issuer', { issuer: 'https://evil.test', jwks_uri: KEYS }],
    ['without keys', { issuer: ISSUER }],
    ['with keys that are no URL', { issuer: ISSUER, jwks_uri: 'keys' }],
  ])('is not believed with a document %s', async (_what, document) => {
    const { state, call } = issuerWith([one], document);
    const verifier = new TokenVerifier({ call });
    await expect(verifier.verify(await sign(one), [CONFIG])).rejects.toThrow(refused('vault_unavailable', /corp/));
    expect(state.asked).not.toContain(KEYS);
  });
});

describe('a known token', () => {
  const user = { id: 'u1' } as User;
  const counting = () => {
    const seen: UserClaims[] = [];
    const { call } = issuerWith([one]);
    const issuers: IssuerConfig[] = [CONFIG];
    const clock = { now: Date.now() };
    const tokens = new UserTokens({
      verifier: new TokenVerifier({ call, now: () => clock.now }),
      users: {
        admit: (claims) => {
          seen.push(claims);
          return user;
        },
      },
      issuers: () => issuers,
      now: () => clock.now,
    });
    return { tokens, seen, issuers, clock };
  };

  it('is verified once, also when it comes many times at once, and is answered at once from then on', async () => {
    const { tokens, seen } = counting();
    const token = await sign(one);
    await Promise.all(Array.from({ length: 20 }, () => tokens.identifyUser(token)));
    expect(tokens.identifyUser(token)).toMatchObject({ userId: 'u1' });
    expect(seen).toHaveLength(1);
  });

  it('is forgotten when it expires, and when the issuers change', async () => {
    const { tokens, issuers, clock } = counting();
    const token = await sign(one);
    await tokens.identifyUser(token);
    issuers.length = 0;
    tokens.clear();
    await expect(tokens.identifyUser(token)).rejects.toThrow(refused('re_auth_required', /no issuer/));
    issuers.push(CONFIG);
    await tokens.identifyUser(token);
    clock.now += 10 * 60_000;
    await expect(tokens.identifyUser(token)).rejects.toThrow(refused('re_auth_required', /expired/));
  });
});

describe('claims', () => {
  const read = (payload: object, claims: Partial<IssuerConfig['claims']> = {}) =>
    claimsOf({ sub: 's', exp: 9, iat: 5, ...payload }, { ...CONFIG, claims: { ...CONFIG.claims, ...claims } }, 1_000_000);

  it('are found by their name or by the way that dots describe, the name first', () => {
    expect(read({ realm_access: { roles: ['b', 'a', 'a'] } }, { groups: 'realm_access.roles' }).groups).toEqual(['a', 'b']);
    expect(read({ 'https://x.test/groups': ['g'] }, { groups: 'https://x.test/groups' }).groups).toEqual(['g']);
    expect(read({ groups: 'one' }).groups).toEqual(['one']);
  });

  it('of another shape are left out, never guessed at', () => {
    expect(read({ email: 7, name: { first: 'a' }, groups: { a: true } })).toMatchObject({ email: null, name: null, groups: [] });
    expect(read({ groups: ['ok', 7, null, '', 'a\nb', 'x'.repeat(600)] }).groups).toEqual(['ok']);
    expect(read({ constructor: 'x' }, { groups: 'toString' }).groups).toEqual([]);
    expect(() => read({ sub: '' })).toThrow(refused('re_auth_required', /claim "sub"/));
  });

  it('of the future count as of now, and without a time of issue as oldest', () => {
    expect(read({ iat: 9_999_999 }).issuedAt).toBe(1_000_000);
    expect(read({ iat: undefined }).issuedAt).toBe(0);
  });
});
