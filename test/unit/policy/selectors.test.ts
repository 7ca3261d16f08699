/** Selectors from headers and from the proxy user name: what is illegal first. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NO_SELECTORS } from '../../../src/domain/selectors.ts';
import { isSelectorHeader, NO_PROXY_LABEL, parseProxyLabel, parseSelectors } from '../../../src/policy/selectors.ts';

const MALFORMED = expect.objectContaining({ code: 'malformed_request' });

describe('parseSelectors refuses', () => {
  it.each([
    ['the same header twice', ['Alter-Label', 'a', 'alter-label', 'a']],
    ['with and without X-', ['Alter-Run-Id', '1', 'X-Alter-Run-Id', '1']],
    ['an empty value', ['Alter-Grant-Id', '']],
    ['a control byte', ['Alter-Tool', 'a\tb']],
    ['non-ASCII', ['Alter-Reason', 'caf\u00e9']],
    ['a long value', ['Alter-Reason', 'x'.repeat(513)]],
  ])('%s', (_name, headers) => {
    expect(() => parseSelectors(headers, NO_PROXY_LABEL)).toThrow(MALFORMED);
  });

  it('a header and a user name that select different grants', () => {
    const label = parseProxyLabel('ci+grant=one');
    expect(() => parseSelectors(['Alter-Grant-Id', 'two'], label)).toThrow(MALFORMED);
    expect(parseSelectors(['Alter-Grant-Id', 'one'], label).grantId).toBe('one');
  });
});

describe('parseSelectors reads', () => {
  it('every selector in any letter case, with or without X-', () => {
    const headers = [
      'ALTER-GRANT-ID',
      'g',
      'x-alter-label',
      'l',
      'Alter-Account',
      'a',
      'X-ALTER-REASON',
      'why not',
      'Alter-Run-Id',
      'r',
      'alter-thread-id',
      't',
      'Alter-Tool',
      'o',
    ];
    expect(parseSelectors(headers, NO_PROXY_LABEL)).toEqual({
      grantId: 'g',
      label: 'l',
      account: 'a',
      reason: 'why not',
      runId: 'r',
      threadId: 't',
      tool: 'o',
    });
  });

  it('nothing from other names, known prefixes or not', () => {
    const headers = [
      'Alternate',
      'x',
      'Alter-Unknown',
      '\u00e9',
      'X-Alterx-Label',
      'x',
      'Alter_Label',
      'x',
      'Accept',
      '*/*',
      'A',
      '',
      'X',
      '',
    ];
    expect(parseSelectors(headers, NO_PROXY_LABEL)).toEqual(NO_SELECTORS);
  });

  it('the user name, which a header beats', () => {
    const label = parseProxyLabel('ci+label=work+account=me+run=1+thread=2');
    expect(parseSelectors([], label)).toEqual({ ...NO_SELECTORS, label: 'work', account: 'me', runId: '1', threadId: '2' });
    expect(parseSelectors(['Alter-Label', 'home', 'Alter-Run-Id', '9'], label)).toMatchObject({
      label: 'home',
      runId: '9',
      threadId: '2',
    });
  });

  it('512 bytes, not one more', () => {
    expect(parseSelectors(['Alter-Reason', 'x'.repeat(512)], NO_PROXY_LABEL).reason).toHaveLength(512);
  });
});

describe('parseProxyLabel', () => {
  it.each([
    ['a long name', 'x'.repeat(257)],
    ['a control character', 'a\nb'],
    ['a C1 control', 'a\u0085b'],
    ['an empty selector', 'ci+grant='],
    ['a selector twice', 'ci+run=1+run=1'],
    ['non-ASCII in a selector', 'ci+label=caf\u00e9'],
  ])('refuses %s', (_name, user) => {
    expect(() => parseProxyLabel(user)).toThrow(MALFORMED);
  });

  it.each([
    ['', { text: '' }],
    ['ci', { text: 'ci' }],
    ['Jos\u00e9', { text: 'Jos\u00e9' }],
    ['ci+label=work+run=42', { text: 'ci', label: 'work', runId: '42' }],
    ['ci+LABEL=work', { text: 'ci', label: 'work' }],
    ['+grant=g', { text: '', grantId: 'g' }],
    ['grant=g', { text: 'grant=g' }],
    ['a+b+c', { text: 'a+b+c' }],
    ['ci+color=red+run=1+x', { text: 'ci+color=red+x', runId: '1' }],
    ['ci+label=a=b', { text: 'ci', label: 'a=b' }],
  ])('reads %s', (user, expected) => {
    expect(parseProxyLabel(user)).toEqual({ ...NO_PROXY_LABEL, ...expected });
  });

  it('never throws anything but a refusal', () => {
    fc.assert(
      fc.property(fc.string(), (user) => {
        try {
          parseProxyLabel(user);
        } catch (thrown) {
          expect(thrown).toEqual(MALFORMED);
        }
      }),
    );
  });
});

it('isSelectorHeader knows every name of ours', () => {
  for (const name of ['alter-grant-id', 'x-alter-tool', 'alter-whatever', 'alter-']) expect(isSelectorHeader(name)).toBe(true);
  for (const name of ['alternate', 'x-alterx', 'authorization', 'alter']) expect(isSelectorHeader(name)).toBe(false);
});
