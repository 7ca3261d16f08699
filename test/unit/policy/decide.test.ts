/** The verdict: every denial with its rule and reason, then what passes. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { CallerIdentity, Narrowing } from '../../../src/domain/agent.ts';
import type { Grant } from '../../../src/domain/grant.ts';
import { parseAuthority } from '../../../src/domain/host.ts';
import { compileGrantRules, type Decision, decide } from '../../../src/policy/decide.ts';
import { parseTarget } from '../../../src/policy/path.ts';
import { callerOf, grantOf, NOW } from './fixtures.ts';

interface Request {
  method?: string;
  path?: string;
  headers?: readonly string[];
  session?: Partial<Narrowing>;
  caller?: Partial<CallerIdentity>;
  host?: string;
}

function verdict(grant: Partial<Grant>, request: Request = {}): Decision {
  return decide(compileGrantRules(grantOf('g', 'bot', 'api.good.test', grant)), {
    method: request.method ?? 'GET',
    headers: request.headers ?? [],
    target: parseTarget(request.path ?? '/'),
    caller: { ...callerOf('bot', request.session), ...request.caller },
    destination: parseAuthority(request.host ?? 'api.good.test', 'https', 443),
    now: NOW,
  });
}

const READ = { methods: ['GET', 'HEAD'] };
const POST_ONLY = { methods: ['GET', 'POST'] };
const PUBLIC = { paths: ['/public/**'] };
const OAUTH = { excludedPaths: ['/oauth/**'] };
const GIT_READ = { git: 'read' } as const;
const GIT_WRITE = { git: 'write' } as const;
const override = (name: string, value: string): Request => ({ method: 'POST', headers: ['Accept', '*/*', name, value] });

describe('decide denies', () => {
  it.each<[string, Partial<Grant>, Request, string, string]>([
    ['TRACE (S-43)', {}, { method: 'TRACE' }, 'method_refused', 'method'],
    ['TRACK (S-43)', { methods: ['TRACK'] }, { method: 'TRACK' }, 'method_refused', 'method'],
    ['trace in lower case', {}, { method: 'trace' }, 'method_refused', 'method'],
    ['CONNECT inside', {}, { method: 'CONNECT' }, 'method_refused', 'method'],
    ['* with another method than OPTIONS', {}, { path: '*' }, 'malformed_request', 'target'],
    ['a revoked grant', { status: 'revoked' }, {}, 'grant_revoked', 'grant.status'],
    ['an expired grant', { expiresAt: NOW }, {}, 'grant_expired', 'grant.expires_at'],
    ['a caller whose session ended', {}, { caller: { expiresAt: NOW } }, 'caller_ended', 'caller.expires_at'],
    ['a method that is not listed', READ, { method: 'POST' }, 'method_not_allowed', 'grant.methods'],
    ['a method in other letter case', READ, { method: 'get' }, 'method_not_allowed', 'grant.methods'],
    ['every method of an empty list', { methods: [] }, {}, 'method_not_allowed', 'grant.methods'],
    [
      'X-HTTP-Method-Override (S-42)',
      POST_ONLY,
      override('X-HTTP-Method-Override', 'DELETE'),
      'method_not_allowed',
      'grant.methods',
    ],
    ['X-Method-Override', POST_ONLY, override('x-method-override', 'delete'), 'method_not_allowed', 'grant.methods'],
    ['X-HTTP-Method', POST_ONLY, override('X-HTTP-Method', ' MERGE '), 'method_not_allowed', 'grant.methods'],
    [
      'an override with underscores',
      POST_ONLY,
      override('X_HTTP_METHOD_OVERRIDE', 'DELETE'),
      'method_not_allowed',
      'grant.methods',
    ],
    ['an override list', POST_ONLY, override('X-HTTP-Method-Override', 'GET, DELETE'), 'method_not_allowed', 'grant.methods'],
    ['an override that is no method', POST_ONLY, override('X-HTTP-Method-Override', ''), 'method_not_allowed', 'grant.methods'],
    ['_method in the query', POST_ONLY, { method: 'POST', path: '/?a=1&_method=DELETE' }, 'method_not_allowed', 'grant.methods'],
    ['_method, encoded', POST_ONLY, { method: 'POST', path: '/?%5Fmet%68od=%64elete' }, 'method_not_allowed', 'grant.methods'],
    [
      '_method behind a semicolon',
      POST_ONLY,
      { method: 'POST', path: '/?a=1;_method=put' },
      'method_not_allowed',
      'grant.methods',
    ],
    ['_HttpMethod', POST_ONLY, { method: 'POST', path: '/?_HttpMethod=PATCH' }, 'method_not_allowed', 'grant.methods'],
    ['method=delete', POST_ONLY, { method: 'POST', path: '/?method=delete' }, 'method_not_allowed', 'grant.methods'],
    [
      'a push discovery under a read-only grant (S-56)',
      READ,
      { path: '/o/r.git/info/refs?service=git-receive-pack' },
      'git_push_not_allowed',
      'grant.methods',
    ],
    [
      'a push discovery, encoded',
      READ,
      { path: '/o/r.git/info/%72efs?a=b&service=git%2Dreceive-pack' },
      'git_push_not_allowed',
      'grant.methods',
    ],
    [
      'a push under a read-only grant',
      READ,
      { method: 'POST', path: '/o/r.git/git-receive-pack' },
      'git_push_not_allowed',
      'grant.methods',
    ],
    [
      'a push discovery outside the paths',
      { paths: ['/*/*/info/refs', '/*/*/git-upload-pack'] },
      { path: '/o/r.git/info/refs?service=git-receive-pack' },
      'git_push_not_allowed',
      'grant.paths',
    ],
    [
      'a push discovery where the session denies POST',
      {},
      { path: '/o/r.git/info/refs?service=git-receive-pack', session: { deniedMethods: ['POST'] } },
      'git_push_not_allowed',
      'session.denied_methods',
    ],
    [
      'a push discovery under a grant to read git (S-56)',
      GIT_READ,
      { path: '/o/r.git/info/refs?service=git-receive-pack' },
      'git_push_not_allowed',
      'grant.git',
    ],
    [
      'an encoded push discovery under a grant to read git',
      GIT_READ,
      { path: '/o/r.git/info/refs?x=1&service=git%2Dreceive-pack' },
      'git_push_not_allowed',
      'grant.git',
    ],
    [
      'a push under a grant to read git',
      GIT_READ,
      { method: 'POST', path: '/o/r.git/git-receive-pack' },
      'git_push_not_allowed',
      'grant.git',
    ],
    [
      'a push, encoded, under a grant to read git',
      GIT_READ,
      { method: 'POST', path: '/o/r.git/git-receive-pac%6B' },
      'git_push_not_allowed',
      'grant.git',
    ],
    ['a page under a grant for git', GIT_WRITE, { path: '/o/r' }, 'not_git', 'grant.git'],
    ['a file of the dumb protocol under a grant for git', GIT_READ, { path: '/o/r.git/info/refs' }, 'not_git', 'grant.git'],
    [
      'two services in one discovery',
      GIT_WRITE,
      { path: '/o/r.git/info/refs?service=git-upload-pack&service=git-receive-pack' },
      'not_git',
      'grant.git',
    ],
    ['a fetch by another method', GIT_READ, { method: 'PUT', path: '/o/r.git/git-upload-pack' }, 'not_git', 'grant.git'],
    ['a fetch with a query', GIT_READ, { method: 'POST', path: '/o/r.git/git-upload-pack?x' }, 'not_git', 'grant.git'],
    [
      'a fetch that asks for another method',
      GIT_READ,
      { ...override('X-HTTP-Method-Override', 'DELETE'), path: '/o/r.git/git-upload-pack' },
      'not_git',
      'grant.git',
    ],
    [
      'a doubtful path under a grant for git',
      GIT_READ,
      { method: 'POST', path: '/o/..%2fr.git/git-upload-pack' },
      'malformed_request',
      'grant.git',
    ],
    [
      'a repository outside the paths of a grant for git',
      { ...GIT_READ, paths: ['/o/r.git/**'] },
      { method: 'POST', path: '/o/other.git/git-upload-pack' },
      'path_not_allowed',
      'grant.paths',
    ],
    ['a path that is not listed (S-52)', PUBLIC, { path: '/publicevil' }, 'path_not_allowed', 'grant.paths'],
    ['a path in other letter case', PUBLIC, { path: '/Public/x' }, 'path_not_allowed', 'grant.paths'],
    ['every path of an empty list', { paths: [] }, { path: '/' }, 'path_not_allowed', 'grant.paths'],
    ['* under a path rule', PUBLIC, { method: 'OPTIONS', path: '*' }, 'path_not_allowed', 'grant.paths'],
    ['dot segments under a path rule (S-51)', PUBLIC, { path: '/public/../secret' }, 'malformed_request', 'grant.paths'],
    ['encoded dot segments (S-51)', PUBLIC, { path: '/public/%2e%2e/secret' }, 'malformed_request', 'grant.paths'],
    ['dot segments that stay inside', PUBLIC, { path: '/public/a/../b' }, 'malformed_request', 'grant.paths'],
    ['an empty segment (S-51)', PUBLIC, { path: '/public//x' }, 'malformed_request', 'grant.paths'],
    ['a dot segment with parameters (S-51)', PUBLIC, { path: '/public/..;/secret' }, 'malformed_request', 'grant.paths'],
    ['an encoded slash (S-51)', PUBLIC, { path: '/public%2Fx' }, 'malformed_request', 'grant.paths'],
    [
      'doubt under a denied path',
      {},
      { path: '/a//b', session: { deniedPaths: ['/x'] } },
      'malformed_request',
      'session.denied_paths',
    ],
    ['an excluded path', OAUTH, { path: '/oauth/token' }, 'path_excluded', 'grant.excluded_paths'],
    [
      'an excluded path in disguise, without path rules',
      OAUTH,
      { path: '/a/..;/OAuth%2ftoken' },
      'path_excluded',
      'grant.excluded_paths',
    ],
    [
      'an excluded path that the paths allow',
      { ...OAUTH, paths: ['/**'] },
      { path: '/oauth/token' },
      'path_excluded',
      'grant.excluded_paths',
    ],
    ['a path rule that is no glob', { paths: ['/a*'] }, { path: '/a' }, 'evaluation_failed', 'grant.paths'],
    ['an excluded path that is no glob', { excludedPaths: ['oauth'] }, {}, 'evaluation_failed', 'grant.paths'],
    [
      'a denied method',
      {},
      { method: 'DELETE', session: { deniedMethods: ['delete'] } },
      'session_method_denied',
      'session.denied_methods',
    ],
    [
      'a denied method in lower case',
      {},
      { method: 'delete', session: { deniedMethods: ['DELETE'] } },
      'session_method_denied',
      'session.denied_methods',
    ],
    [
      'a denied method by override (S-42)',
      {},
      { ...override('X-HTTP-Method-Override', 'DELETE'), session: { deniedMethods: ['DELETE'] } },
      'session_method_denied',
      'session.denied_methods',
    ],
    [
      'a denied path',
      {},
      { path: '/admin/x', session: { deniedPaths: ['/admin/**'] } },
      'session_path_denied',
      'session.denied_paths',
    ],
    [
      'a denied path in other letter case',
      {},
      { path: '/ADMIN/x', session: { deniedPaths: ['/admin/**'] } },
      'session_path_denied',
      'session.denied_paths',
    ],
    [
      'everything, by a denied path that is no glob',
      {},
      { session: { deniedPaths: ['admin'] } },
      'session_path_denied',
      'session.denied_paths',
    ],
    ['a denied host', {}, { session: { deniedHosts: ['API.good.test'] } }, 'session_host_denied', 'session.denied_hosts'],
    [
      'a denied suffix, to any depth',
      {},
      { host: 'a.b.good.test', session: { deniedHosts: ['*.good.test'] } },
      'session_host_denied',
      'session.denied_hosts',
    ],
    ['every host', {}, { session: { deniedHosts: ['*'] } }, 'session_host_denied', 'session.denied_hosts'],
    [
      'every host, by one that can not be read',
      {},
      { session: { deniedHosts: ['a b'] } },
      'session_host_denied',
      'session.denied_hosts',
    ],
    [
      'a grant that the session does not have',
      {},
      { session: { grantIds: ['other'] } },
      'session_grant_denied',
      'session.grants',
    ],
  ])('%s', (_name, grant, request, expected, rule) => {
    const decision = verdict(grant, request);
    if (decision.allow) throw new Error('allowed');
    const { error } = decision;
    const details = error.details as { policy_error?: string; rule?: string; grant_id?: string };
    expect([details.policy_error ?? error.code, decision.rule]).toEqual([expected, rule]);
    expect(error.hint).toEqual(expect.any(String));
    if (error.code === 'policy_violation') expect(details).toMatchObject({ rule, grant_id: 'g' });
    if (error.code === 'malformed_request') expect(error.proxyStatus).toBe(400);
    if (error.code === 'method_refused') expect(error.proxyStatus).toBe(405);
  });
});

describe('decide allows', () => {
  it.each<[string, Partial<Grant>, Request, string]>([
    ['anything without rules', {}, { method: 'BREW', path: '/a/../b//c;d%2f' }, 'grant'],
    ['a listed method', READ, { method: 'HEAD' }, 'grant.methods'],
    ['an override to a listed method', POST_ONLY, override('X-HTTP-Method-Override', 'get'), 'grant.methods'],
    ['an override without method rules', {}, override('X-HTTP-Method-Override', 'DELETE'), 'grant'],
    ['method= with another word', READ, { path: '/?method=flickr.photos.search&x_method=DELETE' }, 'grant.methods'],
    [
      'headers that only look like overrides',
      READ,
      { headers: ['X-HTTP-Methods', 'DELETE', 'X-Http', 'DELETE'] },
      'grant.methods',
    ],
    ['a listed path', PUBLIC, { path: '/public/x?y=/../z' }, 'grant.paths'],
    ['both', { ...READ, ...PUBLIC }, { path: '/public' }, 'grant.methods+paths'],
    ['doubt without a path rule', OAUTH, { path: '/projects/group%2Fproject//x' }, 'grant'],
    ['OPTIONS *', {}, { method: 'OPTIONS', path: '*' }, 'grant'],
    ['a fetch under a read-only grant', READ, { path: '/o/r.git/info/refs?service=git-upload-pack' }, 'grant.methods'],
    ['a push where POST is listed', POST_ONLY, { path: '/o/r.git/info/refs?service=git-receive-pack' }, 'grant.methods'],
    ['a fetch under a grant to read git', GIT_READ, { path: '/o/r.git/info/refs?service=git-upload-pack' }, 'grant.git'],
    ['what a fetch sends', GIT_READ, { method: 'POST', path: '/o/r/git-upload-pack' }, 'grant.git'],
    ['a push under a grant to write git', GIT_WRITE, { method: 'POST', path: '/o/r.git/git-receive-pack' }, 'grant.git'],
    [
      'the discovery of a push to a repository of the grant',
      { ...GIT_WRITE, paths: ['/o/r.git/**'] },
      { path: '/o/r.git/info/refs?service=git-receive-pack' },
      'grant.git+paths',
    ],
    ['a push without rules', {}, { method: 'POST', path: '/o/r.git/git-receive-pack' }, 'grant'],
    [
      'a session that denies something else',
      {},
      { session: { deniedMethods: ['DELETE'], deniedPaths: ['/admin'], deniedHosts: ['good.test'] } },
      'grant',
    ],
    [
      'the longest path that announces a push',
      POST_ONLY,
      { path: `/${'a'.repeat(4084)}/info/refs?service=git-receive-pack` },
      'grant.methods',
    ],
  ])('%s', (_name, grant, request, rule) => {
    expect(verdict(grant, request)).toEqual({ allow: true, rule, approval: null });
  });

  it('never more with a rule than without it', () => {
    const method = fc.constantFrom('GET', 'POST', 'DELETE', 'get', 'TRACE');
    const path = fc.constantFrom(
      '/',
      '/public/x',
      '/public/../x',
      '/oauth/t',
      '/o/info/refs?service=git-receive-pack',
      '/?_method=DELETE',
    );
    const methods = fc.constantFrom(null, ['GET'], ['GET', 'POST'], []);
    const paths = fc.constantFrom(null, ['/public/**'], ['/**'], []);
    const denied = fc.record({
      deniedMethods: fc.constantFrom([], ['DELETE'], ['GET']),
      deniedPaths: fc.constantFrom([], ['/public/**']),
    });
    fc.assert(
      fc.property(method, path, methods, paths, denied, (m, p, ms, ps, session) => {
        const request = { method: m, path: p };
        const strict = verdict({ methods: ms, paths: ps, ...OAUTH }, { ...request, session });
        if (!strict.allow) return;
        for (const looser of [{}, { methods: ms }, { paths: ps }, OAUTH]) expect(verdict(looser, request).allow).toBe(true);
        if (ms !== null) expect(ms).toContain(m);
      }),
    );
  });
});
