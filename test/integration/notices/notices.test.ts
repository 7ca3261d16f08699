/** Notices of approvals at real receivers: signed, told once for each step, tried again, and never in the way of a request. */
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { NoticeView, StatusView } from '../../../src/api/status.ts';
import { startTestDaemon, type TestDaemon } from '../../helpers/daemon.ts';
import { startOrigin, type TestOrigin } from '../../helpers/origin.ts';
import { makePki, type TestPki } from '../../helpers/pki.ts';
import { GOOD, SECRET, speakerFor } from '../../security/support/wall.ts';

const KEY = 'SEKRET-marker-signature-key';
const SLACK_PATH = '/services/T0/B0/SEKRET-marker-slack-path';
const HOOK_PATH = '/hook/SEKRET-marker-hook-path';

interface Posted {
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly notice: { event: string; approval: { id: string; path: string } };
}

let dir: string;
let pki: TestPki;
let slack: TestOrigin;
let hook: Server;
let daemon: TestDaemon;
let ask: ReturnType<typeof speakerFor>['ask'];
const posted: Posted[] = [];
/** What the webhook answers next; then 204. */
const answers: number[] = [];

const configText = (more = '', isPrivate = true): string =>
  `[upstream]
ca_file = "${pki.caFile}"
resolve = { "hooks.slack.test:443" = "127.0.0.1:${slack.port}" }
[approvals]
hold_ms = 0
webhook_url = "https://hooks.other.test${HOOK_PATH}"
webhook_key_file = "${join(dir, 'key')}"
slack_webhook_file = "${join(dir, 'slack')}"
webhook_private = ${isPrivate}
${more}
`.replace(
    'https://hooks.other.test',
    isPrivate ? `http://127.0.0.1:${(hook.address() as AddressInfo).port}` : 'https://hooks.slack.test',
  );

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'alterd-notices-'));
  pki = makePki();
  slack = await startOrigin(pki);
  hook = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      const body = Buffer.concat(parts);
      posted.push({ headers: request.headers, body, notice: JSON.parse(body.toString()) as Posted['notice'] });
      expect(request.url).toBe(HOOK_PATH);
      response.writeHead(answers.shift() ?? 204).end();
    });
  });
  hook.listen(0, '127.0.0.1');
  await once(hook, 'listening');
  writeFileSync(join(dir, 'key'), `${KEY}\n`, { mode: 0o600 });
  writeFileSync(join(dir, 'slack'), `https://hooks.slack.test${SLACK_PATH}\n`, { mode: 0o600 });
  daemon = await startTestDaemon({ config: configText() });
  const { authorization } = await daemon.agent('bot');
  await daemon.api('POST', '/v1/secrets', { name: 'demo', provider: 'bearer', fields: { token: SECRET } });
  const grant = { credential: 'demo', agent: 'bot', hosts: [GOOD], allow_private: true, approval: ['*'] };
  await daemon.api('POST', '/v1/grants', grant);
  ask = speakerFor(daemon, authorization).ask;
});
afterAll(async () => {
  await daemon.stop();
  await slack.close();
  hook.close();
  for (const each of [dir, pki.dir]) rmSync(each, { recursive: true, force: true });
});

const idOf = async (path: string, headers: string[] = []): Promise<string> => {
  const answer = await ask(path, { method: 'POST', headers, body: 'SEKRET-marker-body' });
  expect(answer.status).toBe(403);
  return answer.json().approval_id as string;
};
const decide = (id: string, verb: string, body: object = {}): Promise<unknown> =>
  daemon.api('POST', `/v1/approvals/${id}/${verb}`, body);
const events = (id: string): string[] =>
  posted.filter(({ notice }) => notice.approval.id === id).map(({ notice }) => notice.event);
const slackBodies = (id: string): string[] =>
  slack.arrivals.map(({ body }) => body.toString()).filter((text) => text.includes(id));
const noticeOf = async (name: string): Promise<NoticeView> =>
  (await daemon.api<StatusView>('GET', '/v1/status')).notices.find((each) => each.name === name) as NoticeView;

async function reload(text: string): Promise<void> {
  writeFileSync(daemon.paths.configFile, text);
  await daemon.api('POST', '/v1/reload');
}

/** As a receiver would do it. */
function isSigned({ headers, body }: Posted): boolean {
  const [, t, v1] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(String(headers['alter-signature'])) ?? [];
  return (
    createHmac('sha256', KEY).update(`${t}.`).update(body).digest('hex') === v1 &&
    Math.abs(Number(t) * 1000 - Date.now()) < 60_000
  );
}

it('a question and its decision are posted once each, signed, without the body and without power', async () => {
  const id = await idOf('/issues?page=1', ['Alter-Reason: tidy up']);
  await idOf('/issues?page=1', ['Alter-Reason: tidy up']);
  await expect.poll(() => events(id)).toEqual(['approval.pending']);
  await decide(id, 'deny');
  await expect.poll(() => events(id)).toEqual(['approval.pending', 'approval.denied']);
  const [first, second] = posted.filter(({ notice }) => notice.approval.id === id) as [Posted, Posted];
  expect([first, second].map(isSigned)).toEqual([true, true]);
  expect(isSigned({ ...first, body: Buffer.concat([first.body, Buffer.from(' ')]) })).toBe(false);
  expect(first.notice).toMatchObject({
    command: `alterd approvals show ${id}`,
    approval: { agent: 'bot', method: 'POST', path: '/issues', query_keys: ['page'], rule: 'grant.approval', body_bytes: 18 },
    agent_says: { reason: 'tidy up' },
  });
  expect(first.headers['alter-delivery']).toBe(`${id}-pending`);
  expect(second.notice).toMatchObject({ approval: { decided_by: expect.stringContaining('operator') } });
  expect(first.body.toString()).not.toMatch(/SEKRET|approve /);
});

it('Slack is told too, in words that an agent can not make its own', async () => {
  const id = await idOf(
    '/pay/<!channel>'.replace(/[<>]/g, (c) => (c === '<' ? '%3C' : '%3E')),
    ['Alter-Reason: <!channel> *look* <https://evil.test|approve>'],
  );
  await expect.poll(() => slackBodies(id).length).toBe(1);
  await decide(id, 'approve');
  await expect.poll(() => slackBodies(id).length).toBe(2);
  const [pending, approved] = slackBodies(id) as [string, string];
  expect(slack.arrivals.at(-1)).toMatchObject({ url: SLACK_PATH, servername: 'hooks.slack.test', method: 'POST' });
  const said = (JSON.parse(pending) as { blocks: { text?: { type: string; text: string } }[] }).blocks[2]?.text;
  expect(said).toMatchObject({ type: 'plain_text', text: expect.stringContaining('reason: &lt;!channel&gt; *look*') });
  expect(pending).not.toMatch(/<!channel>|:\/\/evil|SEKRET|mrkdwn"[^:]|approvals approve/);
  expect(JSON.parse(approved)).toMatchObject({ text: expect.stringMatching(/^Approved: bot\. alterd approvals show apr_/) });
});

it('what a receiver did not take is posted again, and nobody waits for it', async () => {
  const before = posted.length;
  answers.push(503);
  const id = await idOf('/again');
  await decide(id, 'deny');
  await expect.poll(() => events(id), { timeout: 5_000 }).toEqual(['approval.pending', 'approval.pending', 'approval.denied']);
  const tries = posted.slice(before, before + 2);
  expect(tries.map(({ headers }) => headers['alter-delivery'])).toEqual([`${id}-pending`, `${id}-pending`]);
  expect(tries.every(isSigned)).toBe(true);
});

it('a receiver that refuses shows in the status and in the log, without the path', async () => {
  const { failed } = await noticeOf('slack');
  slack.answer = (_request, response) => void response.writeHead(404).end('SEKRET-marker-answer');
  const id = await idOf('/refused');
  await expect.poll(async () => (await noticeOf('slack')).error).toBe('the receiver answered 404');
  expect(await noticeOf('slack')).toMatchObject({ failed: failed + 1, host: 'hooks.slack.test', queued: 0 });
  expect((await noticeOf('webhook')).error).toBeNull();
  slack.answer = (_request, response) => void response.end('ok');
  await decide(id, 'deny');
  await expect.poll(async () => (await noticeOf('slack')).error).toBeNull();
  const text = daemon.logged.join('\n') + JSON.stringify(await daemon.api('GET', '/v1/status'));
  expect(text).toContain('a notice could not be delivered');
  expect(text).not.toMatch(/SEKRET/);
});

it('what nobody decides, and what nobody uses, is told when its time is over', async () => {
  await reload(configText('expire_ms = 60'));
  const ignored = await idOf('/ignored');
  await expect.poll(() => events(ignored)).toEqual(['approval.pending', 'approval.expired']);
  await reload(configText());
});

it('a receiver that never answers keeps no daemon from stopping', async () => {
  let arrived = (): void => {};
  const arrival = new Promise<void>((resolve) => (arrived = resolve));
  const gone = new Promise<void>((resolve) => {
    slack.answer = (request) => {
      request.socket.once('close', () => resolve());
      arrived();
    };
  });
  const second = await startTestDaemon({ config: configText() });
  const { authorization } = await second.agent('bot');
  await second.api('POST', '/v1/secrets', { name: 'demo', provider: 'bearer', fields: { token: SECRET } });
  const grant = { credential: 'demo', agent: 'bot', hosts: [GOOD], allow_private: true, approval: ['*'] };
  await second.api('POST', '/v1/grants', grant);
  expect((await speakerFor(second, authorization).ask('/hangs')).status).toBe(403);
  await arrival;
  await second.stop();
  await gone;
  slack.answer = (_request, response) => void response.end('ok');
}, 10_000);

it('an address that is not public is refused until the operator asks for it, and a file that is wrong changes nothing', async () => {
  const before = slack.arrivals.length;
  await reload(configText('', false));
  const id = await idOf('/private');
  await expect.poll(async () => (await noticeOf('slack')).error).toMatch(/hooks\.slack\.test/);
  await expect.poll(async () => (await noticeOf('webhook')).error).not.toBeNull();
  expect(slack.arrivals.length).toBe(before);
  const url = readFileSync(join(dir, 'slack'));
  writeFileSync(join(dir, 'slack'), 'http://elsewhere.test/SEKRET-marker-x');
  const refused = await reload(configText()).catch((error: Error) => error.message);
  expect(refused).toMatch(/slack_webhook_file.*must be https/);
  expect(refused).not.toMatch(/SEKRET/);
  writeFileSync(join(dir, 'slack'), url);
  await reload(configText());
  await decide(id, 'deny');
  await expect.poll(() => slackBodies(id).length).toBe(1);
});
