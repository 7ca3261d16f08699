import { describe, expect, test } from 'vitest';
import { parseDenials } from '../../../src/cli/deny.ts';

describe('parseDenials', () => {
  test.each(['DELETE', 'verb=GET', 'method=', 'path=admin', 'path=', 'host=a b', 'method=GET /', '=x', 'host=https://a.test/'])(
    'refuses %j',
    (flag) => {
      expect(() => parseDenials([flag])).toThrow(expect.objectContaining({ code: 'invalid_input' }));
    },
  );

  test('tells every problem at once', () => {
    expect(() => parseDenials(['nonsense', 'path=x', 'method=DELETE'])).toThrow(
      expect.objectContaining({
        details: { problems: [expect.stringContaining('nonsense'), expect.stringContaining('path=x')] },
      }),
    );
  });

  test('sorts them by kind; commas separate methods and hosts but belong to paths', () => {
    expect(parseDenials(['method=delete,PUT', 'path=/a,b/**', 'host=*.Example.test,b.test:8443', 'method=PATCH'])).toEqual({
      denied_methods: ['DELETE', 'PUT', 'PATCH'],
      denied_paths: ['/a,b/**'],
      denied_hosts: ['*.example.test', 'b.test:8443'],
    });
  });

  test('keeps an equals sign in a path', () => {
    expect(parseDenials(['path=/a=b']).denied_paths).toEqual(['/a=b']);
  });
});
