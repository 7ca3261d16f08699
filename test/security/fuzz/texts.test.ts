/** Fuzzing of the readers of text: authorities, paths, cookies, selectors. Each is held against another reader, or against itself. */
import { isIP } from 'node:net';
import { expect, it } from 'vitest';
import { AlterError } from '../../../src/domain/errors.ts';
import { parseAuthority } from '../../../src/domain/host.ts';
import { Secret } from '../../../src/domain/secret.ts';
import type { CompiledInjection } from '../../../src/injection/compile.ts';
import { applyInjection } from '../../../src/injection/inject.ts';
import { readingsOf } from '../../../src/policy/deny-path.ts';
import { compilePathGlobs, parseTarget } from '../../../src/policy/path.ts';
import { NO_PROXY_LABEL, parseProxyLabel, parseSelectors } from '../../../src/policy/selectors.ts';
import { forAWhile, mutate, TIMEOUT_MS } from './fuzzing.ts';

/** The value, or null when it was refused in the one way that is allowed. */
function tried<T>(read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof AlterError)) throw error;
    expect(['malformed_request', 'request_too_large']).toContain(error.code);
    return null;
  }
}

it(
  'authorities: what is taken is canonical, is read again as the same, and means to a URL parser what it means to us',
  async () => {
    const corpus = [
      'api.good.test:443',
      '[::1]:443',
      '127.0.0.1:80',
      'xn--bcher-kva.test:443',
      'A.b-C.test.:8443',
      '[::ffff:1.2.3.4]:1',
      '0x7f.1:443',
      '1.2.3:9',
    ];
    const words = [
      '@',
      '%00',
      '%2e',
      '..',
      '[',
      ']',
      ':',
      '::',
      'xn--',
      '%',
      '\0',
      '\u00e9',
      '0x',
      '0177',
      '.',
      '-',
      '_',
      '443',
      '/',
      '?',
      '#',
      '\\',
    ];
    let taken = 0;
    await forAWhile('authorities', (dice) => {
      const raw = mutate(dice, corpus, words);
      const read = tried(() => parseAuthority(raw, 'https'));
      if (read === null) return;
      taken++;
      expect(read.host, raw).toMatch(read.family === 0 ? /^[a-z0-9-]+(\.[a-z0-9-]+)*$/ : /^[0-9a-f:.]+$/);
      expect(isIP(read.host), raw).toBe(read.family);
      const again = parseAuthority(read.origin.slice('https://'.length), 'https');
      expect(again, raw).toEqual(read);
      const url = new URL(`https://${raw}/`);
      const host = url.hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '');
      if (read.family !== 6) expect(host, raw).toBe(read.host);
      expect(url.port === '' ? 443 : Number(url.port), raw).toBe(read.port);
      expect([url.username, url.password]).toEqual(['', '']);
    });
    expect(taken).toBeGreaterThan(0);
  },
  TIMEOUT_MS,
);

it(
  'paths: what a rule lets through is below the rule for every reader',
  async () => {
    const allows = compilePathGlobs(['/public/**']);
    const corpus = [
      '/public/a',
      '/public/a/b?x=y',
      '/public/../secret',
      '/public/%2e%2e/x',
      '/public/a;b=c/d',
      '/public//x',
      '/a/public/x',
      '/public/%252e%252e/x',
      '/public/..%2f..%2fx',
    ];
    const words = [
      '..',
      '.',
      '/',
      '//',
      '%2e',
      '%2E',
      '%2f',
      '%5c',
      ';',
      '%3b',
      '%25',
      '%252e',
      '%c0%ae',
      '%',
      '\\',
      '?',
      '#',
      '%00',
      'public',
      '/public/',
      '..;',
      '%2e%2e%2f',
    ];
    let taken = 0;
    await forAWhile('paths', (dice) => {
      const raw = mutate(dice, corpus, words);
      const target = tried(() => parseTarget(raw));
      if (target === null) return;
      expect(target.raw).toBe(raw);
      expect(
        target.segments.some((part) => part === '.' || part === '..'),
        raw,
      ).toBe(false);
      if (target.doubt !== null || target.path === '*' || !allows(target.segments)) return;
      taken++;
      const { pathname, host } = new URL(raw.startsWith('//') ? `https://h.test${raw}` : raw, 'https://h.test');
      expect([host, /^\/public(\/|$)/.test(pathname)], raw).toEqual(['h.test', true]);
      for (const reading of readingsOf(target.path)) expect([raw, reading[0]]).toEqual([raw, 'public']);
    });
    expect(taken).toBeGreaterThan(0);
  },
  TIMEOUT_MS,
);

it(
  'cookies: the injected one is there once, and the others stay',
  async () => {
    const value = 'SEKRET-marker-cookie';
    const compiled = {
      headers: [],
      query: [],
      cookies: [{ name: 'sid', pair: new Secret(`sid=${value}`) }],
    } as unknown as CompiledInjection;
    const corpus = ['sid=a', 'a=b; sid=c; d=e', 'SID=x', 'a="b; sid=1"', 'sid', '=sid', 'a=b;sid=c', ' sid = q ', 'x=1,sid=2'];
    const words = [';', '; ', '=', 'sid', 'SID', ' ', '"', ',', '\t', 'sid=', ';;'];
    await forAWhile('cookies', (dice) => {
      const headers: string[] = [];
      for (let n = dice.below(3); n >= 0; n--)
        headers.push(dice.pick(['Cookie', 'cookie', 'COOKIE', 'Cookie_']), mutate(dice, corpus, words).replace(/[^\t -~]/g, ''));
      const before = headers.slice();
      const { headers: out, injected } = applyInjection(headers, '/', compiled, 'always', null);
      expect(injected).toBe(true);
      expect(headers).toEqual(before);
      const pairs = out.flatMap((text, i) => (i % 2 === 1 ? text.split(';').map((pair) => pair.trim()) : []));
      const ours = pairs.filter((pair) => (pair.split('=')[0] as string).trim().toLowerCase() === 'sid');
      expect(ours, JSON.stringify(before)).toEqual([`sid=${value}`]);
    });
  },
  TIMEOUT_MS,
);

it(
  'selectors: what is taken is printable and short, and the proxy user name never becomes more than words',
  async () => {
    const names = [
      'Alter-Grant-Id',
      'alter-label',
      'X-Alter-Reason',
      'ALTER-RUN-ID',
      'Alter_Label',
      'Alter-',
      'X-Alter-Grant-Id',
      'Alter-Nothing',
    ];
    const corpus = ['grant-1', 'a label', 'run=42', 'ci+label=work+run=42', '+grant=x', 'x+label='];
    const words = ['+', '=', 'label=', 'grant=', '\0', '\r\n', '\u00e9', ' ', '\x7f', 'x'.repeat(600)];
    await forAWhile('selectors', (dice) => {
      const headers: string[] = [];
      for (let n = dice.below(4); n > 0; n--) headers.push(dice.pick(names), mutate(dice, corpus, words));
      const label = tried(() => parseProxyLabel(mutate(dice, corpus, words))) ?? NO_PROXY_LABEL;
      const selectors = tried(() => parseSelectors(headers, label));
      for (const value of Object.values(selectors ?? {})) if (value !== null) expect(value).toMatch(/^[ -~]{1,512}$/);
      expect(label.text).not.toMatch(/[\x00-\x1f\x7f-\x9f]/);
    });
  },
  TIMEOUT_MS,
);
