/** The endpoints that stock SDKs ask for credentials: placeholders of the caller's own grant, for who shows its key, and nothing else. */
import { request } from 'node:http';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Rig, readAnswer, startRig } from './rig.ts';

const KEY = 'SEKRET-marker-aws-stub-key';
let rig: Rig;

beforeAll(async () => {
  rig = await startRig();
  const fields = { access_key_id: 'AKIAREALKEYOFTESTS', secret_access_key: KEY };
  await rig.daemon.api('POST', '/v1/secrets', { name: 'aws', provider: 'aws', fields });
  await rig.daemon.api('POST', '/v1/secrets', { name: 'google', provider: 'bearer', fields: { token: 'SEKRET-marker-google' } });
});
afterAll(() => rig.stop());

/** What an AWS SDK does: no proxy, its token as it is. */
function ask(authorization: string | null, path = '/aws/credentials', method = 'GET'): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const headers = authorization === null ? {} : { authorization };
    request({ host: '127.0.0.1', port: rig.daemon.port, path, method, headers, agent: false }, (response) => {
      let body = '';
      response.on('data', (part: Buffer) => (body += part.toString()));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
    })
      .on('error', reject)
      .end();
  });
}

it('AWS: the placeholder of the one grant, over loopback and through the proxy', async () => {
  const agent = await rig.agent({ credential: 'aws', hosts: ['s3.eu-west-1.amazonaws.com'] });
  const { grant } = await rig.daemon.api<{ grant: { placeholder: string } }>('GET', `/v1/grants/${agent.grantId}`);
  const answer = await ask(agent.authorization);
  expect(answer.status).toBe(200);
  const document = JSON.parse(answer.body) as Record<string, string>;
  expect(document).toEqual({
    AccessKeyId: grant.placeholder,
    SecretAccessKey: expect.stringMatching(/^alterd-/),
    Token: '',
    Expiration: expect.stringMatching(/^\d{4}-.*Z$/),
  });
  expect(Date.parse(document.Expiration as string)).toBeGreaterThan(Date.now());
  const wire = await agent.open({ host: 'alterd.internal' });
  wire.write('GET /aws/credentials HTTP/1.1\r\nHost: alterd.internal\r\n\r\n');
  expect((await readAnswer(wire)).json()).toMatchObject({ AccessKeyId: grant.placeholder });
  expect((await agent.rows()).filter((row) => row.action === 'internal.call')).toHaveLength(2);
});

it('nothing without a key, with a wrong one, on another path, or by another method', async () => {
  const agent = await rig.agent({ credential: 'aws', hosts: ['s3.eu-west-2.amazonaws.com'] });
  expect((await ask(null)).status).toBe(407);
  expect((await ask('Bearer alter_key_agent_wrong')).status).toBe(407);
  expect((await ask(agent.authorization, '/aws/credentials', 'POST')).status).toBe(403);
  // A path that is none of ours is for nobody: this is a proxy, which has its own header for keys.
  expect((await ask(agent.authorization, '/aws/other')).status).toBe(407);
});

it('no guess: another agent’s grant, several grants, a grant that has ended', async () => {
  const none = await rig.agent();
  const refused = await ask(none.authorization);
  expect(refused.status).toBe(403);
  expect(JSON.parse(refused.body)).toMatchObject({ error: 'policy_violation', policy_error: 'no_single_grant' });
  const agent = await rig.agent({ credential: 'aws', hosts: ['s3.eu-west-3.amazonaws.com'] });
  await rig.daemon.api('POST', '/v1/grants', { credential: 'aws', agent: agent.name, hosts: ['sqs.eu-west-3.amazonaws.com'] });
  expect((await ask(agent.authorization)).body).toContain('2 grants');
  await rig.daemon.api('POST', `/v1/grants/${agent.grantId}/revoke`);
  expect((await ask(agent.authorization)).status).toBe(200);
});

it('Google: the placeholder as an access token', async () => {
  const agent = await rig.agent({ credential: 'google', hosts: ['gmail.googleapis.com'] });
  const { grant } = await rig.daemon.api<{ grant: { placeholder: string } }>('GET', `/v1/grants/${agent.grantId}`);
  const wire = await agent.open({ host: 'alterd.internal' });
  wire.write('POST /google/token HTTP/1.1\r\nHost: alterd.internal\r\nContent-Length: 5\r\n\r\na=b&c');
  const answer = await readAnswer(wire);
  expect(answer.json()).toEqual({
    access_token: grant.placeholder,
    issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    token_type: 'Bearer',
    expires_in: 3600,
  });
  expect(JSON.stringify(await agent.rows()) + rig.daemon.logged.join('')).not.toContain('SEKRET');
});
