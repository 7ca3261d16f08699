/** Who is calling: forms of Proxy-Authorization, and keys that are bound to a uid. */
import { describe, expect, it } from 'vitest';
import { type CallerIdentity, type KeyBinding, NO_BINDING } from '../../../src/domain/agent.ts';
import { AlterError } from '../../../src/domain/errors.ts';
import type { VaultPort } from '../../../src/domain/vault-port.ts';
import { identifyCaller, needsKernel, parseProxyAuthorization } from '../../../src/proxy/caller.ts';
import { classifyHeaders } from '../../../src/proxy/header-kinds.ts';
import type { Fields } from '../../../src/proxy/http1/head.ts';
import { type Peer, unitOf } from '../../../src/proxy/peer.ts';

const KEY = 'SEKRET-marker-key';
const peer = (uid: number | null): Peer => ({ address: '127.0.0.1:1', uid, pid: null, executable: null, unit: null });

function vaultWith(boundUid: number | null): VaultPort {
  return {
    identify: (key: string) => {
      if (key !== KEY) throw new AlterError('caller_unauthenticated', {});
      return { agentId: 'a', agentName: 'bot', boundUid, binding: NO_BINDING } as CallerIdentity;
    },
  } as VaultPort;
}

function fields(...headers: string[]): Fields {
  return { headers, ...classifyHeaders(headers) };
}

const basic = (pair: string): string => `Basic ${Buffer.from(pair).toString('base64')}`;

function identify(values: readonly string[], boundUid: number | null = null, uid: number | null = null) {
  return identifyCaller(fields(...values.flatMap((v) => ['Proxy-Authorization', v])), vaultWith(boundUid), peer(uid));
}

describe('a caller is refused', () => {
  it.each([
    ['without credentials', [], 'caller_unauthenticated'],
    ['with two', [basic(`bot:${KEY}`), basic(`bot:${KEY}`)], 'malformed_request'],
    ['with another scheme', [`Digest ${KEY}`], 'caller_unauthenticated'],
    ['with no scheme', [KEY], 'caller_unauthenticated'],
    ['with Basic that has no colon', [basic(KEY)], 'caller_unauthenticated'],
    ['with Basic that is no base64', ['Basic !!!'], 'caller_unauthenticated'],
    ['with an unknown key', [basic('bot:other')], 'caller_unauthenticated'],
    ['with an empty value', [''], 'caller_unauthenticated'],
    ['with an empty bearer', ['Bearer '], 'caller_unauthenticated'],
  ])('%s', (_what, values, code) => {
    expect(() => identify(values)).toThrow(expect.objectContaining({ code }));
  });

  it.each([
    [1000, null],
    [1000, 1001],
    [0, 1000],
  ])('when the key is bound to uid %s and the peer is %s', (bound, uid) => {
    expect(() => identify([basic(`bot:${KEY}`)], bound, uid)).toThrow(
      expect.objectContaining({ details: expect.objectContaining({ policy_error: 'token_uid_mismatch' }) }),
    );
  });

  it('without its key in the error', () => {
    let text = '';
    try {
      identify([basic(`${KEY}x:${KEY}y`)]);
    } catch (thrown) {
      text = JSON.stringify(thrown) + String(thrown) + String((thrown as AlterError).hint);
    }
    expect(text).not.toBe('');
    expect(text).not.toContain(KEY);
  });
});

describe('a caller is known', () => {
  it.each([
    ['Basic', basic(`run-7:${KEY}`)],
    ['Basic in any case', basic(`run-7:${KEY}`).replace('Basic', 'bASIC')],
    ['Bearer', `Bearer ${KEY}`],
    ['a key in place of the user name', basic(`${KEY}:`)],
  ])('by %s', (_what, value) => {
    expect(identify([value]).identity.agentName).toBe('bot');
  });

  it('by a bound key from its own uid, with the label of the user name', () => {
    expect(identify([basic(`run-7:${KEY}`)], 1000, 1000).label.text).toBe('run-7');
  });
});

it.each([
  ['Basic dTpwOnE=', { user: 'u', key: 'p:q' }],
  ['Bearer  abc ', { user: '', key: 'abc' }],
  ['Basic', null],
  ['Negotiate abc', null],
])('parseProxyAuthorization(%j) is %j', (value, expected) => {
  expect(parseProxyAuthorization(value)).toEqual(expected);
});

describe('a key that is bound', () => {
  const here: Peer = { address: '127.0.0.1:1', uid: 1, pid: 2, executable: '/usr/bin/bot', unit: 'bot.service' };
  const present = (binding: Partial<KeyBinding>, from: Peer) => {
    const identity = { agentId: 'a', agentName: 'bot', boundUid: null, binding: { ...NO_BINDING, ...binding } } as CallerIdentity;
    return identifyCaller(
      fields('Proxy-Authorization', basic(`bot:${KEY}`)),
      { identify: () => identity } as unknown as VaultPort,
      from,
    );
  };

  it.each<[string, Partial<KeyBinding>, Partial<Peer>, boolean]>([
    ['another unit', { unit: 'bot.service' }, { unit: 'evil.service' }, true],
    ['no unit that the kernel names', { unit: 'bot.service' }, { unit: null }, true],
    ['another program', { executable: '/usr/bin/bot' }, { executable: '/tmp/bot' }, true],
    ['no program that the kernel names', { executable: '/usr/bin/bot' }, { executable: null }, true],
    ['another network', { cidr: '10.0.0.0/8' }, {}, false],
    ['the Unix socket, which has no address', { cidr: '127.0.0.0/8' }, { address: 'unix' }, false],
    ['an address of the other family', { cidr: '127.0.0.0/8' }, { address: '::1:9' }, false],
    ['a block that can not be read', { cidr: 'all' }, {}, false],
  ])('is refused from %s', (_what, binding, from, kernel) => {
    let thrown: unknown;
    try {
      present(binding, { ...here, ...from });
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toMatchObject({ code: 'token_binding_mismatch', proxyStatus: 403 });
    expect(needsKernel(thrown as AlterError)).toBe(kernel);
  });

  it('is known from where it is bound to', () => {
    const all = { unit: 'bot.service', executable: '/usr/bin/bot', cidr: '127.0.0.0/8' };
    expect(present(all, here).identity.agentName).toBe('bot');
    expect(present({ cidr: '127.0.0.1' }, { ...here, address: '::ffff:127.0.0.1:9' }).peer.unit).toBe('bot.service');
  });
});

it.each([
  ['0::/system.slice/research.service\n', 'research.service'],
  ['0::/user.slice/user-1000.slice/user@1000.service/app.slice/run-42.scope\n', 'run-42.scope'],
  ['12:cpu:/x.service\n1:name=systemd:/system.slice/old.service\n', 'old.service'],
  ['0::/user.slice\n', 'user.slice'],
  ['0::/\n', null],
  ['', null],
])('the unit of %j is %j', (text, unit) => {
  expect(unitOf(text)).toBe(unit);
});
