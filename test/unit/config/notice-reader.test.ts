import { expect, test } from 'vitest';
import { loadConfig } from '../../../src/config/load.ts';
import { readNoticeUrl } from '../../../src/config/notice-reader.ts';

test.each([
  'http://hooks.example.test/x',
  'http://10.0.0.1/x',
  'http://127.0.0.1.evil.test/x',
  'https://user:SEKRET-marker-pw@hooks.example.test/x',
  'ftp://hooks.example.test/x',
  'hooks.example.test',
  '',
])('%s is refused, and not repeated', (url) => {
  const reading = readNoticeUrl(url);
  expect(reading).toHaveProperty('problem');
  expect(JSON.stringify(reading)).not.toMatch(/SEKRET|evil|hooks\.example\.test\/x"/);
});

test.each(['https://hooks.example.test/x?y=1', 'http://127.0.0.1:8080/x', 'http://[::1]:8080/x', 'http://localhost:1/'])(
  '%s is taken',
  (url) => expect(readNoticeUrl(url)).toEqual({ value: url }),
);

test.each([
  [{ ALTERD_APPROVALS_WEBHOOK_URL: 'https://hooks.example.test/x' }, /needs approvals\.webhook_key_file/],
  [{ ALTERD_APPROVALS_WEBHOOK_KEY_FILE: '/etc/key' }, /has no meaning without approvals\.webhook_url/],
  [
    { ALTERD_APPROVALS_WEBHOOK_URL: 'http://127.0.0.1:1/', ALTERD_APPROVALS_WEBHOOK_KEY_FILE: '/etc/key' },
    /approvals\.webhook_private = true/,
  ],
  [{ ALTERD_APPROVALS_WEBHOOK_PRIVATE: 'true' }, /has no meaning without a webhook/],
])('keys that do not go together are told', (env, problem) => {
  let details: unknown;
  try {
    loadConfig({ env });
  } catch (thrown) {
    details = (thrown as { details: unknown }).details;
  }
  expect(JSON.stringify(details)).toMatch(problem);
});
