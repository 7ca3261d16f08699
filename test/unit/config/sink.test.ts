import { describe, expect, test } from 'vitest';
import { sinkList } from '../../../src/config/sink.ts';

const read = (...sinks: object[]) => sinkList.read(sinks);
const file = { name: 'a', kind: 'file', file: '/var/log/a.jsonl' };

describe('what is refused', () => {
  test.each<[string, unknown, RegExp]>([
    ['no list', 'x', /\[\[sink\]\]/],
    ['no kind', [{ name: 'a' }], /sink\.0\.kind is missing/],
    ['an unknown kind', [{ name: 'a', kind: 'kafka' }], /sink\.0\.kind must be one of/],
    ['an unknown key', [{ ...file, colour: 1 }], /sink\.0\.colour is not a known key/],
    ['a name that could leave its directory', [{ ...file, name: '../a' }], /sink\.0\.name/],
    ['a name twice', [file, file], /"a" is there twice/],
    ['a relative file', [{ ...file, file: 'a.jsonl' }], /sink\.0\.file must be an absolute path/],
    ['a tiny file', [{ ...file, max_bytes: 1 }], /max_bytes must be a whole number/],
    ['plain HTTP that was not asked for', [{ name: 'a', kind: 'otlp', url: 'http://logs.example.test/' }], /must be https/],
    [
      'a webhook that is not signed',
      [{ name: 'a', kind: 'webhook', url: 'https://hooks.example.test/' }],
      /secret_file is missing/,
    ],
    ['no scheme', [{ name: 'a', kind: 'syslog', address: 'logs.example.test:514' }], /address must be like/],
    ['a socket without a path', [{ name: 'a', kind: 'syslog', address: 'unix:dev/log' }], /absolute path/],
    ['another beginning', [{ ...file, from: 'yesterday' }], /from must be "now" or "start"/],
  ])('%s', (_name, raw, problem) => {
    expect(sinkList.read(raw)).toMatchObject({ problem: expect.stringMatching(problem) });
  });

  test('a password in a URL, without repeating it', () => {
    const reading = read({ name: 'a', kind: 'otlp', url: 'https://user:SEKRET-marker-url@logs.example.test/' });
    expect(reading).toMatchObject({ problem: expect.stringContaining('without user and password') });
    expect(JSON.stringify(reading)).not.toContain('SEKRET');
  });
});

test('every kind is read, with defaults that are safe', () => {
  expect(
    read(
      file,
      { name: 'b', kind: 'syslog', address: 'tls://logs.example.test' },
      { name: 'c', kind: 'syslog', address: 'unix:/dev/log', from: 'start' },
      { name: 'd', kind: 'journald' },
      { name: 'e', kind: 'otlp', url: 'http://127.0.0.1:4318/v1/logs', allow_private: true },
      { name: 'f', kind: 'webhook', url: 'https://hooks.example.test?x=1', secret_file: '/etc/s' },
    ),
  ).toMatchObject({
    value: [
      { kind: 'file', from: 'now', allowPrivate: false, maxBytes: 104_857_600, keep: 10 },
      { transport: 'tls', destination: { host: 'logs.example.test', port: 6514, scheme: 'https' } },
      { transport: 'unix', path: '/dev/log', destination: null, from: 'start' },
      { kind: 'journald', path: '/run/systemd/journal/stdout' },
      { destination: { scheme: 'http', host: '127.0.0.1', port: 4318 }, target: '/v1/logs', allowPrivate: true },
      { destination: { port: 443 }, target: '/?x=1', secretFile: '/etc/s', headersFile: null },
    ],
  });
});
