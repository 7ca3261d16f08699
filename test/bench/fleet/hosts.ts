/**
 * Load on one replica of a central vault, in a process of its own: hosts that hold their streams, and hosts that ask for their leases.
 * `node --import tsx test/bench/fleet/hosts.ts [--hosts 1000] [--seconds 8]`; prints one JSON line for each measurement.
 */
import { fork } from 'node:child_process';
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openClient } from '../../../src/api/client.ts';
import { loadConfig } from '../../../src/config/load.ts';
import { resolvePaths } from '../../../src/config/paths.ts';
import { mintSealingKeys } from '../../../src/crypto/hpke.ts';
import { mintNonce, rawPublicKey, signedHeaders } from '../../../src/crypto/request-signing.ts';
import { HOST_CAPABILITIES } from '../../../src/vault/host-capabilities.ts';
import { fetchAuthority } from '../../../src/vault-client/pinning.ts';
import { SignedClient } from '../../../src/vault-client/signed-client.ts';
import { startVaultServer } from '../../../src/vault-server.ts';

const argument = (name: string, initial: number): number => {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? initial : Number(process.argv[at + 1]);
};

const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {}, setLevel: () => {} };

/** The replica: serves until it is told to end, and says how much memory it has. */
async function serve(home: string): Promise<void> {
  const paths = resolvePaths({ home, env: {} });
  const flags = { 'vault_server.listen': '127.0.0.1:0', 'log.level': 'silent' };
  const reloadConfig = () => loadConfig({ file: paths.configFile, env: {}, flags });
  const server = await startVaultServer({ paths, loaded: reloadConfig(), reloadConfig, log: quiet });
  process.send?.({ url: server.fleet.url, fingerprint: server.fleet.fingerprint, socket: paths.apiSocket });
  process.on('message', async (what) => {
    if (what === 'memory') {
      const status = readFileSync('/proc/self/status', 'utf8');
      process.send?.({ rssMiB: Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024), cpu: process.cpuUsage() });
    } else {
      await server.stop();
      process.exit(0);
    }
  });
}

/** Of the view that every host has. */
let digest = '';

interface Host {
  readonly id: string;
  readonly signing: KeyObject;
}

async function main(): Promise<void> {
  const hosts = argument('hosts', 1_000);
  const seconds = argument('seconds', 8);
  const home = mkdtempSync(join(tmpdir(), 'alterd-bench-'));
  mkdirSync(join(home, 'config'), { recursive: true, mode: 0o700 });
  writeFileSync(join(home, 'config', 'alterd.toml'), '');
  const child = fork(fileURLToPath(import.meta.url), ['--serve', home], { execArgv: process.execArgv });
  const told = <T>(): Promise<T> => new Promise((resolve) => child.once('message', (value) => resolve(value as T)));
  const { url, fingerprint, socket } = await told<{ url: string; fingerprint: string; socket: string }>();
  const api = openClient(socket);
  const ca = await fetchAuthority(url, fingerprint);
  await api.send('/v1/secrets', { name: 'lent', provider: 'bearer', fields: { token: 'SEKRET-marker-bench' } });
  await api.send('/v1/agents', { name: 'bot' });
  const { grant } = await api.send<{ grant: { id: string } }>('/v1/grants', {
    credential: 'lent',
    agent: 'bot',
    hosts: ['api.good.test'],
  });
  const enroller = new SignedClient({ url, ca, identity: null });
  const made: Host[] = [];
  const sealing = mintSealingKeys();
  for (let i = 0; i < hosts; i++) {
    const { token } = await api.send<{ token: string }>('/v1/hosts', { name: `h${i}` });
    const { privateKey } = generateKeyPairSync('ed25519');
    const { body } = await enroller.call<{ host_id: string }>('POST', '/v1/enroll', {
      ...{ token, signing_key: rawPublicKey(privateKey), sealing_key: sealing.publicKey.toString('base64url') },
      ...{ capabilities: HOST_CAPABILITIES, version: 'bench' },
    });
    await api.send(`/v1/hosts/h${i}/assign`, { agents: ['bot'] });
    made.push({ id: body.host_id, signing: privateKey });
  }
  enroller.close();
  const memory = async (): Promise<{ rssMiB: number; cpu: { user: number; system: number } }> => {
    child.send('memory');
    return told();
  };
  print({ measurement: 'idle', hosts, rss_mib: (await memory()).rssMiB });
  const agent = new Agent({ ca, keepAlive: true, maxSockets: 64, minVersion: 'TLSv1.3' });
  const leases = async (name: string, target: string, body: object | null, rate: number | null): Promise<void> => {
    const before = await memory();
    const times: number[] = [];
    const endsAt = performance.now() + seconds * 1_000;
    let next = 0;
    const one = async (): Promise<void> => {
      const startedAt = performance.now();
      await call(url, agent, made[next++ % made.length] as Host, target, body);
      times.push(performance.now() - startedAt);
    };
    const worker = async (): Promise<void> => {
      while (performance.now() < endsAt) await one();
    };
    if (rate === null) await Promise.all(Array.from({ length: 48 }, worker));
    else {
      const under: Promise<void>[] = [];
      const startedAt = performance.now();
      for (let sent = 0; performance.now() < endsAt; ) {
        const due = ((performance.now() - startedAt) / 1_000) * rate;
        for (; sent < due; sent++) under.push(one());
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
      await Promise.all(under);
    }
    const after = await memory();
    const cpuMs = (after.cpu.user + after.cpu.system - before.cpu.user - before.cpu.system) / 1_000;
    const sorted = times.toSorted((a, b) => a - b);
    const at = (share: number): number => Math.round((sorted[Math.floor(sorted.length * share)] ?? 0) * 10) / 10;
    print({
      ...{ measurement: name, calls_per_second: Math.round(times.length / seconds), p50_ms: at(0.5), p99_ms: at(0.99) },
      ...{ cpu_us_per_call: Math.round((cpuMs * 1_000) / times.length), rss_mib: after.rssMiB },
    });
  };
  const rate = argument('rate', 750);
  const first = new SignedClient({ url, ca, identity: { hostId: made[0]?.id ?? '', signing: (made[0] as Host).signing } });
  digest = (await first.call<{ digest: string }>('GET', '/v1/host/bundle')).body.digest;
  first.close();
  await leases('a lease begins anew, as fast as it goes', '/v1/host/bundle', null, null);
  await leases(`a lease begins anew, ${rate} a second`, '/v1/host/bundle', null, rate);
  digest = '';
  await leases('the whole view, as fast as it goes', '/v1/host/bundle', null, null);
  await leases('one secret, as fast as it goes', '/v1/host/materials', { grant_ids: [grant.id] }, null);
  agent.destroy();
  const streams = await Promise.all(made.map((host) => openStream(url, ca, host)));
  await new Promise((resolve) => setTimeout(resolve, 6_000));
  print({ measurement: 'streams', hosts: streams.length, rss_mib: (await memory()).rssMiB });
  const startedAt = performance.now();
  const told1000 = Promise.all(streams.map((stream) => stream.next('changed')));
  await api.send(`/v1/grants/${grant.id}/revoke`);
  const at = (await told1000).map((when) => when - startedAt).toSorted((a, b) => a - b);
  print({
    measurement: 'revocation at all streams',
    p50_ms: Math.round(at[at.length >> 1] ?? 0),
    p99_ms: Math.round(at[Math.floor(at.length * 0.99)] ?? 0),
  });
  for (const stream of streams) stream.close();
  child.send('end');
  await new Promise((resolve) => child.once('exit', resolve));
  rmSync(home, { recursive: true, force: true });
}

const print = (value: object): void => void process.stdout.write(`${JSON.stringify(value)}\n`);

function signed(host: Host, method: string, target: string, body: Buffer): Record<string, string> {
  return signedHeaders(host.id, host.signing, { method, target, timestamp: Date.now(), nonce: mintNonce(), body });
}

function call(url: string, agent: Agent, host: Host, target: string, body: object | null): Promise<void> {
  const method = body === null ? 'GET' : 'POST';
  const payload = body === null ? Buffer.alloc(0) : Buffer.from(JSON.stringify(body));
  return new Promise((resolve, reject) => {
    const headers = {
      ...signed(host, method, target, payload),
      ...(body === null ? { 'if-none-match': `"${digest}"` } : { 'content-length': payload.length }),
    };
    const sent = request(new URL(target, url), { method, agent, headers }, (response) => {
      response
        .resume()
        .once('end', () =>
          response.statusCode === 200 || response.statusCode === 304 ? resolve() : reject(new Error(`${response.statusCode}`)),
        );
    });
    sent.once('error', reject);
    sent.end(payload);
  });
}

interface Stream {
  next(kind: string): Promise<number>;
  close(): void;
}

function openStream(url: string, ca: string, host: Host): Promise<Stream> {
  const target = '/v1/host/events?after=0.none';
  return new Promise((resolve, reject) => {
    const sent = request(
      new URL(target, url),
      { ca, agent: false, minVersion: 'TLSv1.3', headers: signed(host, 'GET', target, Buffer.alloc(0)) },
      (response) => {
        if (response.statusCode !== 200) reject(new Error(`${response.statusCode}`));
        response.setEncoding('utf8');
        resolve({
          next: (kind) =>
            new Promise((done) => {
              const look = (text: string): void => {
                if (!text.includes(`event: ${kind}`)) return;
                response.off('data', look);
                done(performance.now());
              };
              response.on('data', look);
            }),
          close: () => sent.destroy(),
        });
        response.on('error', () => {});
        response.resume();
      },
    );
    sent.on('error', reject);
    sent.end();
  });
}

await (process.argv.includes('--serve') ? serve(process.argv.at(-1) as string) : main());
