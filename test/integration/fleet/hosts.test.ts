/** A host from its invitation to its end: what it takes to call the central vault, and everything that does not suffice. */
import { generateKeyPairSync } from 'node:crypto';
import { request } from 'node:https';
import { connect } from 'node:tls';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { HostView } from '../../../src/api/hosts.ts';
import { mintNonce, rawPublicKey, signedHeaders, TIME_HEADER } from '../../../src/crypto/request-signing.ts';
import { Secret } from '../../../src/domain/secret.ts';
import { enrollHost, rekeyHost } from '../../../src/vault-client/enrollment.ts';
import { hostKeyFiles, openHostKeys } from '../../../src/vault-client/host-keys.ts';
import { fetchAuthority, readFingerprint } from '../../../src/vault-client/pinning.ts';
import { SignedClient } from '../../../src/vault-client/signed-client.ts';
import { temporaryDirectory } from '../../helpers/temporary.ts';
import { type StageHost, startVaultStage, type VaultStage } from './rig.ts';

const directory = temporaryDirectory();
let stage: VaultStage;
let host: StageHost;

beforeAll(async () => {
  stage = await startVaultStage(directory);
  host = await stage.enroll('web-01');
});
afterAll(() => stage.stop());

const code = (expected: string, details: object = {}) =>
  expect.objectContaining({ code: expected, details: expect.objectContaining(details) });
const BUNDLE = '/v1/host/bundle';

interface RawAnswer {
  readonly status: number;
  readonly error: string | undefined;
  readonly headers: NodeJS.Dict<string | string[]>;
}

/** A request with exactly these headers. */
function raw(method: string, target: string, headers: Record<string, string>, body = ''): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const call = request(new URL(target, stage.server.fleet.url), { method, headers, ca: stage.ca, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => {
        text += part;
      });
      response.on('end', () => {
        const { error } = JSON.parse(text || '{}') as { error?: string };
        resolve({ status: response.statusCode ?? 0, error, headers: response.headers });
      });
    });
    call.on('error', reject);
    call.end(body);
  });
}

const signed = (method: string, target: string, body = '', timestamp = Date.now()): Record<string, string> =>
  signedHeaders(host.answer.host_id, host.keys.signing, {
    method,
    target,
    timestamp,
    nonce: mintNonce(),
    body: Buffer.from(body),
  });

test('an enrolled host is answered, and is seen', async () => {
  const { body } = await host.client().call('GET', BUNDLE);
  expect(body).toMatchObject({ host_id: host.answer.host_id, vault_id: stage.server.fleet.vaultId });
  const { host: seen } = await stage.api.read<{ host: HostView }>('/v1/hosts/web-01');
  expect(seen).toMatchObject({ status: 'active', version: '0.1.0', signing_key: host.keys.publicSigning, invited_until: null });
  expect(seen.last_seen_at).not.toBeNull();
});

test('a request that was captured is refused the second time, and each part of it is signed', async () => {
  const headers = signed('GET', BUNDLE);
  expect(await raw('GET', BUNDLE, headers)).toMatchObject({ status: 200 });
  expect(await raw('GET', BUNDLE, headers)).toMatchObject({ status: 401, error: 'host_unauthenticated' });
  const other = generateKeyPairSync('ed25519').privateKey;
  const parts = { method: 'GET', target: BUNDLE, timestamp: Date.now(), nonce: mintNonce(), body: Buffer.alloc(0) };
  const forgeries: Record<string, string>[] = [
    {},
    { ...signed('GET', BUNDLE), 'alter-nonce': mintNonce() },
    { ...signed('GET', BUNDLE), 'alter-timestamp': String(Date.now() + 1) },
    { ...signed('GET', BUNDLE), 'alter-key-id': '00000000-0000-4000-8000-000000000000' },
    { ...signed('GET', BUNDLE), 'alter-signature': `v1=${'A'.repeat(86)}` },
    { ...signed('GET', BUNDLE), 'alter-signature': 'v1=' },
    signed('POST', BUNDLE),
    signed('GET', `${BUNDLE}?after=1`),
    signed('GET', BUNDLE, 'a body'),
    signedHeaders(host.answer.host_id, other, parts),
  ];
  for (const forged of forgeries)
    expect(await raw('GET', BUNDLE, forged)).toMatchObject({ status: 401, error: 'host_unauthenticated' });
});

test('two that send the same request in the same moment: one is answered', async () => {
  const headers = signed('GET', BUNDLE);
  const statuses = await Promise.all([1, 2, 3, 4].map(async () => (await raw('GET', BUNDLE, headers)).status));
  expect(statuses.sort()).toEqual([200, 401, 401, 401]);
});

test.each([-61_000, 61_000])('a clock that is %d ms off is told by how much', async (offMs) => {
  const error = await host
    .client({ now: () => Date.now() + offMs })
    .call('GET', BUNDLE)
    .catch((thrown) => thrown);
  expect(error).toEqual(code('clock_skewed', { allowed_ms: 60_000 }));
  expect(Math.abs((error as { details: { skew_ms: number } }).details.skew_ms - offMs)).toBeLessThan(5_000);
  expect((error as Error).message).toContain(offMs > 0 ? 'ahead of' : 'behind');
  const { headers } = await raw('GET', '/healthz', {});
  expect(Math.abs(Number(headers[TIME_HEADER]) - Date.now())).toBeLessThan(5_000);
});

test('a body that is cut off, too long or no JSON does nothing', async () => {
  const body = JSON.stringify({ signing_key: 'x' });
  expect(await raw('POST', '/v1/host/keys', signed('POST', '/v1/host/keys', body), body)).toMatchObject({ status: 422 });
  expect(await raw('POST', '/v1/enroll', {}, '{"token":')).toMatchObject({ status: 400, error: 'malformed_request' });
  expect(await raw('POST', '/v1/enroll', {}, 'x'.repeat(70_000))).toMatchObject({ status: 413, error: 'request_too_large' });
  const { url } = stage.server.fleet;
  const text = await new Promise<string>((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port: Number(new URL(url).port), ca: stage.ca }, () =>
      socket.end('POST /v1/enroll HTTP/1.1\r\nhost: vault\r\ncontent-length: 100\r\n\r\n{"token":'),
    );
    let answer = '';
    socket.on('data', (part) => {
      answer += part.toString();
    });
    socket.on('error', reject);
    socket.on('close', () => resolve(answer));
  });
  expect(text).not.toContain(' 200 ');
});

test('what is no route of the API does not exist, and no page drives it', async () => {
  expect(await raw('GET', '/v1/agents', {})).toMatchObject({ status: 404 });
  expect(await raw('GET', '/v1/enroll', {})).toMatchObject({ status: 405 });
  expect(await raw('GET', BUNDLE, { ...signed('GET', BUNDLE), origin: 'https://page.test' })).toMatchObject({ status: 403 });
});

test('a token is good once: the same keys may come again, other keys may not', async () => {
  const { token } = await stage.invite('web-02');
  const { url } = stage.server.fleet;
  const enroll = (stateDir: string, text = token) =>
    enrollHost({ url, ca: stage.ca, token: new Secret(text), stateDir, sealer: host.sealer, capabilities: [], version: '1' });
  const first = directory();
  await expect(enroll(first, `${token.slice(0, -1)}_`)).rejects.toEqual(
    code('enrolment_refused', { enrolment_error: 'unknown' }),
  );
  const answer = await enroll(first);
  expect(await enroll(first)).toEqual({ ...answer, epoch: expect.any(Number) });
  await expect(enroll(directory())).rejects.toEqual(code('enrolment_refused', { enrolment_error: 'used' }));
  const again = await stage.api.send<{ token: string }>('/v1/hosts/web-02/invitation', { expires_in_ms: 1_000 });
  await expect(enroll(first)).rejects.toEqual(code('enrolment_refused', { enrolment_error: 'unknown' }));
  expect(await enroll(directory(), again.token)).toMatchObject({ host_id: answer.host_id });
});

test('another authority than the one with the fingerprint is not the vault', async () => {
  const { url, fingerprint } = stage.server.fleet;
  const wrong = readFingerprint(
    `sha256:${fingerprint.replaceAll(':', '').replace(/^../, (pair) => (pair === '00' ? '11' : '00'))}`,
  );
  await expect(fetchAuthority(url, wrong as string)).rejects.toEqual(code('vault_untrusted'));
  const foreign = await startVaultStage(directory);
  try {
    const client = new SignedClient({ url, ca: foreign.ca, identity: { hostId: 'x', signing: host.keys.signing } });
    await expect(client.call('GET', BUNDLE)).rejects.toEqual(code('vault_untrusted'));
    client.close();
  } finally {
    await foreign.stop();
  }
});

test('a host changes its keys, also when the answer of an earlier attempt was lost', async () => {
  const rekeyed = await stage.enroll('rekeyed');
  const { url } = stage.server.fleet;
  const options = {
    url,
    ca: stage.ca,
    hostId: rekeyed.answer.host_id,
    stateDir: rekeyed.dir,
    sealer: rekeyed.sealer,
    capabilities: ['grants.1'],
    version: '2',
  };
  // An earlier attempt: the vault took the waiting keys, and the host never learned it.
  const next = openHostKeys(hostKeyFiles(rekeyed.dir).next, rekeyed.sealer);
  const body = { signing_key: next.publicSigning, sealing_key: next.publicSealing, capabilities: ['grants.1'], version: '2' };
  await rekeyed.client().call('POST', '/v1/host/keys', body);
  await expect(rekeyed.client().call('GET', BUNDLE)).rejects.toEqual(code('host_unauthenticated'));
  expect(await rekeyHost(options)).toMatchObject({ host_id: rekeyed.answer.host_id });
  const keys = openHostKeys(hostKeyFiles(rekeyed.dir).current, rekeyed.sealer);
  expect(rawPublicKey(keys.signing)).toBe(next.publicSigning);
  expect(await rekeyed.client({ keys }).call('GET', BUNDLE)).toMatchObject({ status: 200 });
  expect(await rekeyHost(options)).toMatchObject({ host_name: 'rekeyed' });
});

test('a paused host waits, a revoked one is out for good, and neither gets in by a token', async () => {
  const ended = await stage.enroll('ended');
  const client = ended.client();
  const status = (name: string) => stage.api.send('/v1/hosts/ended/status', { status: name });
  await status('paused');
  await expect(client.call('GET', BUNDLE)).rejects.toEqual(code('host_inactive', { host_status: 'paused' }));
  await status('active');
  expect(await client.call('GET', BUNDLE)).toMatchObject({ status: 200 });
  await status('revoked');
  await expect(client.call('GET', BUNDLE)).rejects.toEqual(code('host_inactive', { host_status: 'revoked' }));
  await expect(status('active')).rejects.toEqual(code('conflict'));
  await expect(stage.api.send('/v1/hosts/ended/invitation', {})).rejects.toEqual(code('conflict'));
  await stage.api.remove('/v1/hosts/ended');
  await expect(client.call('GET', BUNDLE)).rejects.toEqual(code('host_unauthenticated'));
});

test('a host that lacks what a grant needs is said not to get it', async () => {
  await stage.api.send('/v1/agents', { name: 'bot' });
  await stage.api.send('/v1/secrets', {
    provider: 'own',
    name: 'own',
    kind: 'bearer',
    hosts: ['own.test'],
    fields: { token: 'SEKRET-marker-fleet' },
  });
  await stage.api.send('/v1/grants', { provider: 'own', agent: 'bot', approval: ['POST'] });
  const { token } = await stage.invite('old');
  const { url } = stage.server.fleet;
  const about = { capabilities: ['grants.1'], version: '0.0.9', stateDir: directory(), sealer: host.sealer };
  await enrollHost({ url, ca: stage.ca, token: new Secret(token), ...about });
  for (const name of ['old', 'web-01']) await stage.api.send(`/v1/hosts/${name}/assign`, { agents: ['bot'] });
  const old = await stage.api.read<{ withheld: { missing: string[] }[]; host: HostView }>('/v1/hosts/old');
  expect(old.host.agents).toEqual(['bot']);
  expect(old.withheld.map(({ missing }) => missing)).toEqual([['grants.approval']]);
  expect(await stage.api.read('/v1/hosts/web-01')).toMatchObject({ withheld: [] });
  await stage.api.send('/v1/hosts/old/unassign', { agents: ['bot'] });
  expect(await stage.api.read('/v1/hosts/old')).toMatchObject({ withheld: [], host: { agents: [] } });
});

test('every step left an event, and what was refused did too', async () => {
  const { entries } = await stage.api.read<{ entries: { action: string; error: string | null }[] }>('/v1/audit', { limit: 200 });
  const actions = new Set(entries.map(({ action }) => action));
  for (const action of [
    'fleet.authority_created',
    'vault.started',
    'host.invited',
    'host.enrolled',
    'host.rekeyed',
    'host.paused',
    'host.resumed',
    'host.revoked',
    'host.removed',
    'host.assigned',
    'host.unassigned',
  ])
    expect(actions).toContain(action);
  const refused = new Set(entries.filter(({ action }) => action === 'host.refused').map(({ error }) => error));
  expect(refused).toEqual(new Set(['host_unauthenticated', 'clock_skewed', 'enrolment_refused', 'host_inactive']));
});

test('a second life of the vault is the same vault to its hosts', async () => {
  const before = stage.server.fleet;
  const { home } = stage;
  await stage.stop();
  stage = await startVaultStage(directory, { home });
  expect(stage.server.fleet).toMatchObject({ vaultId: before.vaultId, fingerprint: before.fingerprint });
  const client = new SignedClient({
    url: stage.server.fleet.url,
    ca: stage.ca,
    identity: { hostId: host.answer.host_id, signing: host.keys.signing },
  });
  expect(await client.call('GET', BUNDLE)).toMatchObject({ status: 200 });
  client.close();
});
