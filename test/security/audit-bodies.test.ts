/** S-116: bodies in the journal, looked at from all sides: what is kept and for whom, what is never in it, and where it can be read. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { BodiesView } from '../../src/api/audit-bodies.ts';
import { BEARER, GOOD, leaks, type Row, SECRET, startWall, type Wall, type WallAgent } from './support/wall.ts';

const MARKER = 'SEKRET-marker-of-a-body';
const JSON_TYPE = 'Content-Type: application/json';

let wall: Wall;
let bot: WallAgent;

beforeAll(async () => {
  wall = await startWall();
  bot = await wall.agent({ audit_bodies: 'both' });
});
afterAll(() => wall.stop());

interface Sent {
  readonly agent?: WallAgent;
  readonly headers?: readonly string[];
  readonly body?: string;
  readonly answer?: string | Buffer;
  readonly answerHeaders?: Readonly<Record<string, string>>;
}

/** One exchange: its row, and what is kept of it. */
async function kept(sent: Sent): Promise<{ row: Row; bodies: BodiesView }> {
  const { agent = bot, headers = [JSON_TYPE], body = '{"q":1}', answer = '{"ok":true}', answerHeaders = {} } = sent;
  wall.good.answer = (_request, response) => {
    response.writeHead(200, { 'content-type': 'application/json', ...answerHeaders });
    response.end(answer);
  };
  const got = await agent.ask('/v1/things', { method: 'POST', headers, body });
  expect(got.status).toBe(200);
  const row = await wall.row({ agent: agent.name, action: 'api.call', path: '/v1/things' });
  return { row, bodies: await wall.daemon.api<BodiesView>('GET', `/v1/audit/${row.request_id as string}/bodies`) };
}

function filesBelow(dir: string): string[] {
  return readdirSync(dir).flatMap((name) => {
    const path = join(dir, name);
    const found = statSync(path);
    return found.isDirectory() ? filesBelow(path) : found.isFile() ? [path] : [];
  });
}

it('S-116 bodies are kept where a grant asks for them, and nowhere else', async () => {
  const { row, bodies } = await kept({ body: '{"question":"who"}', answer: '{"answer":"me"}' });
  expect(row).toMatchObject({ bodies: 'both', body_dropped: null });
  expect(bodies.request).toEqual({
    ...{ content_type: 'application/json', coding: null, length: 18, truncated: false, redacted: 0 },
    ...{ encoding: 'utf8', text: '{"question":"who"}' },
  });
  expect(bodies.response).toMatchObject({ length: 15, text: '{"answer":"me"}' });
  const silent = await wall.agent();
  expect(await kept({ agent: silent })).toMatchObject({
    row: { bodies: null, body_digest: null, body_dropped: null },
    bodies: { request: null, response: null },
  });
  for (const which of ['request', 'response'] as const) {
    const agent = await wall.agent({ audit_bodies: which });
    const one = await kept({ agent });
    expect(one.row.bodies).toBe(which);
    expect([one.bodies.request !== null, one.bodies.response !== null]).toEqual([which === 'request', which === 'response']);
  }
});

it('S-116 the credential is in neither, however it came there', async () => {
  const { bodies, row } = await kept({
    body: `{"note":"I know ${SECRET} already"}`,
    answer: `{"headers":{"x":"${BEARER}"},"hex":"${Buffer.from(SECRET).toString('hex')}"}`,
  });
  expect(row.bodies).toBe('both');
  expect(leaks(JSON.stringify(bodies))).toEqual([]);
  expect(bodies.request?.text).toMatch(/^\{"note":"I know \[redacted by al.* already"\}$/);
  expect(bodies.response?.text).toContain('[redacted by alterd]');
});

it('S-116 nor are keys of alterd, placeholders, and what stands under the name of a secret', async () => {
  const { bodies } = await kept({
    body: JSON.stringify({ key: bot.key, stand_in: bot.placeholder, password: MARKER, max_tokens: 100 }),
    answer: JSON.stringify({ access_token: MARKER, token_type: 'bearer', nested: JSON.stringify({ api_key: MARKER }) }),
  });
  expect(JSON.parse(bodies.request?.text ?? '')).toEqual({
    ...{ key: '[redacted]', stand_in: '[redacted]', password: '[redacted]', max_tokens: 100 },
  });
  expect(bodies.request?.redacted).toBe(3);
  expect(JSON.parse(bodies.response?.text ?? '')).toEqual({
    ...{ access_token: '[redacted]', token_type: 'bearer', nested: '{"api_key":"[redacted]"}' },
  });
  const form = await kept({
    headers: ['Content-Type: application/x-www-form-urlencoded'],
    body: `user=a&client_secret=${MARKER}`,
  });
  expect(form.bodies.request?.text).toBe('user=a&client_secret=[redacted]');
});

it('S-116 no file of the home has a word of them', async () => {
  const { row } = await kept({ body: `{"plain":"${MARKER}"}`, answer: `{"echo":"${MARKER}"}` });
  expect(row.bodies).toBe('both');
  await wall.daemon.api('GET', '/v1/audit?limit=1');
  const files = filesBelow(wall.daemon.home);
  expect(files.some((file) => file.endsWith('audit.db'))).toBe(true);
  for (const file of files)
    expect({ file, found: readFileSync(file, 'latin1').includes(MARKER) }).toEqual({ file, found: false });
  expect(wall.daemon.logged.join('\n')).not.toContain(MARKER);
});

describe('codings', () => {
  it('S-116 what is coded is kept plain, so that it could be looked through', async () => {
    const text = JSON.stringify({ password: MARKER, n: 1 });
    const asked = await kept({
      headers: [JSON_TYPE, 'Content-Encoding: gzip', 'Accept-Encoding: gzip'],
      body: gzipSync(text).toString('latin1'),
      answer: gzipSync(text),
      answerHeaders: { 'content-encoding': 'gzip' },
    });
    expect(asked.bodies.request).toMatchObject({ coding: 'gzip', text: '{"password":"[redacted]","n":1}', truncated: false });
    expect(asked.bodies.response).toMatchObject({ coding: null, text: '{"password":"[redacted]","n":1}' });
    // An answer that stays coded on its way to the agent.
    const unasked = await kept({ answer: gzipSync(text), answerHeaders: { 'content-encoding': 'gzip' } });
    expect(unasked.bodies.response).toMatchObject({ coding: 'gzip', text: '{"password":"[redacted]","n":1}' });
  });

  it('S-116 what can not be read is left out, which the row says; the request passes all the same', async () => {
    const { row, bodies } = await kept({ headers: [JSON_TYPE, 'Content-Encoding: zstd'], body: 'anything' });
    expect(row).toMatchObject({ bodies: 'response', body_dropped: 'coded', outcome: 'success' });
    expect(bodies.request).toBeNull();
  });
});

it('S-116 as much as was asked for and no more, with the true length', async () => {
  const agent = await wall.agent({ audit_bodies: 'both', audit_body_bytes: 64 });
  const { bodies } = await kept({ agent, body: 'é'.repeat(500), answer: 'y'.repeat(100_000) });
  expect(bodies.request).toMatchObject({ truncated: true, length: 500, encoding: 'base64' });
  expect(bodies.response).toMatchObject({ truncated: true, length: 100_000, text: 'y'.repeat(64) });
});

it('S-116 an answer that is cut is kept as far as it went', async () => {
  wall.good.answer = (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write('data: {"token":"x"}\n\n');
  };
  const agent = await wall.agent({ audit_bodies: 'both' });
  const wire = await agent.open();
  wire.write(`GET /v1/stream HTTP/1.1\r\nHost: ${GOOD}\r\n\r\n`);
  while (!wire.waiting.includes('data: ')) await wire.more();
  await wall.daemon.api('POST', `/v1/grants/${agent.grantId}/revoke`);
  const row = await wall.row({ agent: agent.name, path: '/v1/stream' });
  wire.socket.destroy();
  expect(row).toMatchObject({ outcome: 'refused', bodies: 'response' });
  const bodies = await wall.daemon.api<BodiesView>('GET', `/v1/audit/${row.request_id as string}/bodies`);
  expect(bodies.response?.text).toBe('data: {"token":"[redacted]"}\n\n');
});

it('S-116 whoever reads them leaves a row; exports have them only when asked', async () => {
  const { row } = await kept({ body: '{"q":"exported"}' });
  expect(await wall.row({ action: 'audit.bodies_read' })).toMatchObject({ details: { request_id: row.request_id } });
  const text = async (query: string): Promise<string> => {
    const lines: string[] = [];
    const { get } = await import('node:http');
    await new Promise<void>((resolve, reject) => {
      get({ socketPath: wall.daemon.paths.apiSocket, path: `/v1/audit/export${query}` }, (response) => {
        response.on('data', (part: Buffer) => lines.push(part.toString()));
        response.on('end', resolve);
      }).on('error', reject);
    });
    return lines.join('');
  };
  expect(await text('')).not.toContain('exported');
  const whole = await text('?bodies=true');
  expect(whole).toContain('{\\"q\\":\\"exported\\"}');
  expect(await wall.row({ action: 'audit.bodies_read' })).toMatchObject({ details: { export: '{}' } });
  await expect(wall.daemon.api('GET', '/v1/audit/export?bodies=true&format=csv')).rejects.toThrow('invalid_input');
});

it('S-116 a grant is changed in place, and its bounds are checked', async () => {
  const agent = await wall.agent({ audit_bodies: 'request' });
  await wall.daemon.api('POST', `/v1/grants/${agent.grantId}`, { audit_bodies: 'none' });
  expect((await kept({ agent })).row.bodies).toBeNull();
  const changed = await wall.row({ action: 'grant.changed' });
  expect(changed.details).toMatchObject({ audit_bodies: 'none', audit_body_bytes: 16_384 });
  for (const wrong of [{ audit_body_bytes: 0 }, { audit_body_bytes: 262_145 }, { audit_bodies: 'all' }])
    await expect(wall.daemon.api('POST', `/v1/grants/${agent.grantId}`, wrong)).rejects.toThrow('invalid_input');
});
