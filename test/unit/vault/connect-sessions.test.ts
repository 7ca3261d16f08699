import { describe, expect, test } from 'vitest';
import type { AuditOpening } from '../../../src/domain/audit.ts';
import { AlterError } from '../../../src/domain/errors.ts';
import { type ConnectSessionRequest, checkConnectSessionRequest } from '../../../src/vault/connect-session-request.ts';
import { CONNECT_SESSION_MS, type ConnectedAccount, ConnectSessions } from '../../../src/vault/connect-sessions.ts';

const REQUEST: ConnectSessionRequest = {
  providers: ['files'],
  requiredScopes: {},
  allowedOrigin: 'https://app.example.test',
  returnUrl: null,
  maxLifetimeMs: null,
  defaultLifetimeMs: null,
  agent: 'bot',
  label: 'work',
  methods: null,
  paths: null,
  fields: {},
  allowPrivate: false,
  grantId: null,
  user: null,
  metadata: { end_user: 'u-17' },
};
const ACCOUNT: ConnectedAccount = {
  grantId: 'g-1',
  provider: 'files',
  providerName: 'Files',
  accountId: '17',
  accountName: 'ann@people.test',
  scopes: ['files.read'],
  isReconnected: false,
  at: 5,
};

function rig() {
  const rows: { opening: AuditOpening; error: string | null }[] = [];
  const state = { now: 1_000_000, isJournalBroken: false };
  const sessions = new ConnectSessions({
    audit: {
      open: () => Promise.reject(new Error('no exchange here')),
      record: (opening, closing) => {
        if (state.isJournalBroken) return Promise.reject(new AlterError('audit_unavailable', { reason: 'full' }));
        rows.push({ opening, error: closing.error });
        return Promise.resolve('req_1');
      },
    },
    findAgent: (name) => {
      if (name === 'nobody') throw new AlterError('not_found', { what: 'agent', name });
      return { name, status: name === 'gone' ? 'revoked' : 'active' };
    },
    now: () => state.now,
  });
  return { sessions, rows, state, actions: () => rows.map(({ opening, error }) => [opening.action, error]) };
}

const code = async (work: Promise<unknown> | (() => unknown)): Promise<unknown> => {
  try {
    await (typeof work === 'function' ? work() : work);
  } catch (thrown) {
    const { details } = thrown as AlterError;
    return (details as { connect_error?: string }).connect_error ?? (thrown as AlterError).code;
  }
  return 'nothing was thrown';
};

describe('a token', () => {
  test('is random, opens the page once, and is nowhere in the audit rows', async () => {
    const { sessions, rows, actions } = rig();
    const made = await sessions.create(REQUEST);
    const other = await sessions.create(REQUEST);
    const token = made.token.reveal();
    expect(token).toMatch(/^alter_connect_[A-Za-z0-9_-]{43}$/);
    expect(token).not.toBe(other.token.reveal());
    const { ticket } = await sessions.redeem(token);
    expect(sessions.find(ticket.reveal()).id).toBe(made.id);
    expect(await code(sessions.redeem(token))).toBe('session_used');
    expect(actions()).toEqual([
      ['connect.session_created', null],
      ['connect.session_created', null],
      ['connect.session_redeemed', null],
      ['connect.session_refused', 'session_used'],
    ]);
    expect(rows[0]?.opening).toMatchObject({ agent: 'bot', grant_label: 'work', provider_id: 'files' });
    expect(rows[0]?.opening.details).toMatchObject({ connect_session: made.id, 'metadata.end_user': 'u-17' });
    for (const secret of [token, ticket.reveal()]) expect(JSON.stringify(rows)).not.toContain(secret);
  });

  test('is spent before anything is awaited: of two pages that come at once, one gets in', async () => {
    const { sessions } = rig();
    const token = (await sessions.create(REQUEST)).token.reveal();
    const both = await Promise.allSettled([sessions.redeem(token), sessions.redeem(token)]);
    expect(both.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
  });

  test('expires after ten minutes, and so does the ticket', async () => {
    const { sessions, state } = rig();
    const late = (await sessions.create(REQUEST)).token.reveal();
    const soon = (await sessions.create(REQUEST)).token.reveal();
    state.now += CONNECT_SESSION_MS - 1;
    const ticket = (await sessions.redeem(soon)).ticket.reveal();
    state.now += 1;
    expect(await code(sessions.redeem(late))).toBe('session_expired');
    expect(sessions.find(ticket).phase).toBe('open');
    state.now += CONNECT_SESSION_MS;
    expect(await code(() => sessions.find(ticket))).toBe('session_expired');
  });

  test('that is used over and over does not fill the journal', async () => {
    const { sessions, rows } = rig();
    const token = (await sessions.create(REQUEST)).token.reveal();
    await sessions.redeem(token);
    for (let i = 0; i < 40; i++) expect(await code(sessions.redeem(token))).toBe('session_used');
    expect(rows).toHaveLength(12);
  });

  test('that never was, a ticket in its place, and a token in place of a ticket open nothing', async () => {
    const { sessions } = rig();
    const token = (await sessions.create(REQUEST)).token.reveal();
    expect(await code(sessions.redeem(`${token}x`))).toBe('session_unknown');
    expect(await code(() => sessions.find(token))).toBe('session_unknown');
    const ticket = (await sessions.redeem(token)).ticket.reveal();
    expect(await code(sessions.redeem(ticket))).toBe('session_unknown');
  });

  test('is not spent, and no session is made, while the journal can not say so', async () => {
    const { sessions, state } = rig();
    const token = (await sessions.create(REQUEST)).token.reveal();
    state.isJournalBroken = true;
    expect(await code(sessions.create(REQUEST))).toBe('audit_unavailable');
    expect(await code(sessions.redeem(token))).toBe('audit_unavailable');
    expect(sessions.list()).toHaveLength(1);
    state.isJournalBroken = false;
    expect((await sessions.redeem(token)).session.phase).toBe('open');
  });

  test('of an agent that is not there, or no more, is not made', async () => {
    const { sessions } = rig();
    expect(await code(sessions.create({ ...REQUEST, agent: 'nobody' }))).toBe('not_found');
    expect(await code(sessions.create({ ...REQUEST, agent: 'gone' }))).toBe('conflict');
    expect(sessions.list()).toEqual([]);
  });
});

describe('a consent', () => {
  test('is taken by the page that began it, once, and never with a state of somebody else', async () => {
    const { sessions } = rig();
    const mine = (await sessions.redeem((await sessions.create(REQUEST)).token.reveal())).ticket.reveal();
    const theirs = (await sessions.redeem((await sessions.create(REQUEST)).token.reveal())).ticket.reveal();
    expect(await code(() => sessions.takeConsent(mine, ''))).toBe('state_mismatch');
    sessions.noteConsent(mine, { provider: 'files', flowId: 'f-1', state: 'state-of-mine' });
    sessions.noteConsent(theirs, { provider: 'files', flowId: 'f-2', state: 'state-of-theirs' });
    expect(await code(() => sessions.takeConsent(mine, 'state-of-theirs'))).toBe('state_mismatch');
    expect(sessions.takeConsent(mine, 'state-of-mine').provider).toBe('files');
    expect(await code(() => sessions.takeConsent(mine, 'state-of-mine'))).toBe('state_mismatch');
  });

  test('is begun thirty times at most', async () => {
    const { sessions } = rig();
    const ticket = (await sessions.redeem((await sessions.create(REQUEST)).token.reveal())).ticket.reveal();
    const begin = () => sessions.noteConsent(ticket, { provider: 'files', flowId: 'f', state: 's' });
    for (let i = 0; i < 30; i++) begin();
    expect(await code(begin)).toBe('too_many_tries');
  });

  test('that was connected ends the session with it; one that was not, with nothing', async () => {
    const { sessions, rows, actions } = rig();
    const ticket = (await sessions.redeem((await sessions.create(REQUEST)).token.reveal())).ticket.reveal();
    sessions.noteConnected(ticket, ACCOUNT);
    expect((await sessions.end(ticket)).connected).toEqual([ACCOUNT]);
    expect(await code(sessions.end(ticket))).toBe('session_used');
    expect(rows.at(-1)?.opening.details).toMatchObject({ grants: 'g-1' });
    const empty = (await sessions.redeem((await sessions.create(REQUEST)).token.reveal())).ticket.reveal();
    await sessions.noteFailure(sessions.find(empty), 'files', { error: 'access_denied', reason: 'refused' });
    await sessions.end(empty);
    expect(actions().slice(-2)).toEqual([
      ['connect.failed', 'access_denied'],
      ['connect.session_cancelled', null],
    ]);
  });
});

describe('a request', () => {
  test.each([
    ['no provider', { providers: [] }, 'allowed_providers: name at least one provider'],
    ['any origin', { allowedOrigin: '*' }, 'allowed_origin'],
    ['the origin of a sandbox', { allowedOrigin: 'null' }, 'allowed_origin'],
    ['an origin with a path', { allowedOrigin: 'https://app.example.test/x' }, 'allowed_origin'],
    ['an origin over http', { allowedOrigin: 'http://app.example.test' }, 'allowed_origin'],
    ['an origin with a user', { allowedOrigin: 'https://me@app.example.test' }, 'allowed_origin'],
    ['a script to return to', { returnUrl: 'javascript:alert(1)' }, 'return_url'],
    ['data to return to', { returnUrl: 'data:text/html,x' }, 'return_url'],
    ['a return over http', { returnUrl: 'http://app.example.test/' }, 'return_url'],
    ['a relative return', { returnUrl: '/done' }, 'return_url'],
    ['a default over the maximum', { maxLifetimeMs: 60_000, defaultLifetimeMs: 120_000 }, 'default_ttl_seconds'],
    ['scopes of another provider', { requiredScopes: { other: ['a'] } }, 'required_scopes'],
    ['fields of another provider', { fields: { other: { site: 'a' } } }, 'fields'],
    ['a method that is none', { methods: ['GE T'] }, 'requested_grant.methods'],
    ['a name for metadata that is none', { metadata: { 'a b': 'x' } }, 'metadata'],
  ])('with %s is refused', (_what, change, problem) => {
    expect(() => checkConnectSessionRequest({ ...REQUEST, ...change })).toThrow(problem);
  });

  test('keeps origins and URLs in canonical form, this machine over http included', () => {
    const request = { ...REQUEST, allowedOrigin: 'http://127.0.0.1:3000/', returnUrl: 'HTTPS://App.Example.test/a?b=c' };
    expect(checkConnectSessionRequest(request)).toMatchObject({
      allowedOrigin: 'http://127.0.0.1:3000',
      returnUrl: 'https://app.example.test/a?b=c',
    });
  });
});
