import { expect, test } from 'vitest';
import type { Approval } from '../../../src/domain/approval.ts';
import { slackMessage } from '../../../src/notices/slack-message.ts';

const approval = (more: Partial<Approval> = {}): Approval => ({
  id: 'apr_0123456789abcdef',
  status: 'pending',
  createdAt: 1,
  expiresAt: 60_000,
  decidedAt: null,
  decidedBy: null,
  waiting: 1,
  agentId: 'a',
  agent: 'bot-1',
  sessionId: null,
  userId: null,
  user: null,
  uid: 1,
  pid: 2,
  executable: '/bin/x',
  grantId: 'g',
  grantLabel: 'main',
  providerId: 'github',
  credential: 'work',
  rule: 'grant.approval',
  method: 'POST',
  origin: 'https://api.good.test:443',
  path: '/issues',
  queryKeys: ['page'],
  contentType: 'text/plain',
  bodyBytes: 12,
  bodySha256: 'aa',
  bodyPreview: 'SEKRET-marker-body',
  agentSays: { reason: 'tidy up', runId: 'r1', tool: 't1' },
  ...more,
});

const textsOf = (a: Approval): string[] =>
  slackMessage(a).blocks.flatMap((block) => ('elements' in block ? block.elements : [block.text]).map((each) => each.text));

test('every text is plain, the words of the agent are marked and apart, and the command is the only thing to do', () => {
  const message = slackMessage(approval());
  for (const block of message.blocks)
    for (const each of 'elements' in block ? block.elements : [block.text])
      expect(each).toMatchObject({ type: 'plain_text', emoji: false });
  expect(message).toMatchObject({ mrkdwn: false, unfurl_links: false, unfurl_media: false });
  expect(message.text).toBe('An agent waits for an approval: bot-1. alterd approvals show apr_0123456789abcdef');
  const [title, seen, said, command] = textsOf(approval());
  expect(title).toBe('An agent waits for an approval');
  expect(seen).toContain('Agent: bot-1\nRequest: POST https: //api.good.test:443, 12 bytes');
  expect(seen).not.toMatch(/tidy up|issues|page/);
  expect(said).toBe(
    "In the agent's words, which nobody checked:\n› path: /issues\n› query: page\n› reason: tidy up\n› run: r1\n› tool: t1",
  );
  expect(command).toContain('alterd approvals show apr_0123456789abcdef');
  expect(JSON.stringify(message)).not.toMatch(/SEKRET|approvals approve|"url"|button/);
});

test('says in whose name the request goes out, since that person can not approve it', () => {
  expect(textsOf(approval())[1]).not.toContain('For:');
  expect(textsOf(approval({ userId: 'u1', user: 'anna@good.test' }))[1]).toContain('Agent: bot-1\nFor: anna\uff20good.test\n');
});

test.each([
  ['calls a channel', 'look <!channel> <@U123> & <https://evil.test|approve>', /<|>|@|:\/\//],
  ['calls a channel where mentions are plain', '@channel @here', /@/],
  ['turns the text around', 'a\u202eb\u2066c\u200b', /[\u202e\u2066\u200b]/],
  ['begins lines of its own', 'x\nAgent: somebody else\r\n\u2028Rule: none', /x\n|\r|\u2028/],
  ['draws with control characters', '\u001b[2J\u0000', /[\u001b\u0000]/],
])('an agent whose reason %s is shown as text', (_name, reason, forbidden) => {
  const texts = [
    ...textsOf(approval({ path: `/${reason}`, queryKeys: [reason], agentSays: { reason, runId: reason, tool: reason } })),
  ];
  const said = texts.find((text) => text.startsWith('In the agent')) as string;
  expect(said.split('\n')).toHaveLength(6);
  expect(said).not.toMatch(forbidden);
});

test('an escaped text can be read again, and long texts keep within the limits of a block', () => {
  const [, , said] = textsOf(approval({ agentSays: { reason: '<a & b>', runId: null, tool: null } }));
  expect(said).toContain('reason: &lt;a &amp; b&gt;');
  const long = '&😀'.repeat(5_000);
  for (const text of textsOf(
    approval({
      agent: long,
      origin: long,
      method: long,
      rule: long,
      path: long,
      grantLabel: long,
      credential: long,
      decidedBy: long,
      queryKeys: Array.from({ length: 64 }, () => long),
      agentSays: { reason: long, runId: long, tool: long },
    }),
  )) {
    expect(text.length).toBeLessThanOrEqual(3_000);
    expect(text).not.toMatch(/\p{Cs}/u);
  }
});

test.each([
  ['approved', 'somebody', 'Approved'],
  ['denied', 'somebody', 'Denied'],
  ['expired', null, 'Nobody decided in time'],
  ['expired', 'somebody', 'Approved, but never used'],
  ['cancelled', null, 'The agent gave up'],
] as const)('%s by %s says %s', (status, decidedBy, title) => {
  expect(textsOf(approval({ status, decidedBy }))[0]).toBe(title);
});
