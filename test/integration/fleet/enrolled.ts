/** A whole daemon on an enrolled host of a staged vault, and requests of its agents through it. */
import { mkdirSync } from 'node:fs';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { availableParallelism, loadavg } from 'node:os';
import { loadConfig } from '../../../src/config/load.ts';
import { resolvePaths } from '../../../src/config/paths.ts';
import { Secret } from '../../../src/domain/secret.ts';
import { enrollInstallation } from '../../../src/enrolled-host.ts';
import { startTestDaemon, type TestDaemon } from '../../helpers/daemon.ts';
import type { VaultStage } from './rig.ts';

/** Enrolls a fresh home as this host, and assigns these agents to it. */
export async function enrollHome(stage: VaultStage, name: string, home: string, agents: readonly string[]): Promise<void> {
  const { token } = await stage.invite(name);
  if (agents.length > 0) await stage.api.send(`/v1/hosts/${name}/assign`, { agents });
  const paths = resolvePaths({ home, env: {} });
  mkdirSync(paths.configDir, { recursive: true, mode: 0o700 });
  await enrollInstallation({
    ...{ paths, configFile: paths.configFile, version: '0.1.0', url: stage.server.fleet.url, token: new Secret(token) },
    config: loadConfig({ file: paths.configFile, env: {} }).config,
    authority: { fingerprint: stage.server.fleet.fingerprint },
  });
}

export async function startEnrolled(
  stage: VaultStage,
  name: string,
  home: string,
  agents: readonly string[],
): Promise<TestDaemon> {
  await enrollHome(stage, name, home, agents);
  return startTestDaemon({ home });
}

export interface Answer {
  readonly status: number;
  readonly text: string;
  readonly error: string | undefined;
}

/** A request of an agent through a daemon. */
export function through(daemon: TestDaemon, key: string, url: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const authorization = `Basic ${Buffer.from(`x:${key}`).toString('base64')}`;
    const { host } = new URL(url);
    const call = request(
      { host: '127.0.0.1', port: daemon.port, path: url, headers: { host, 'proxy-authorization': authorization }, agent: false },
      (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (part: string) => {
          text += part;
        });
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, text, error: response.headers['alter-error'] as string | undefined }),
        );
      },
    );
    call.on('error', reject);
    call.end();
  });
}

/** An origin that answers with the authorization that it was sent, spelt so that it is not scrubbed. */
export async function startEcho(): Promise<{ readonly port: number; readonly seen: string[]; stop(): Promise<void> }> {
  const seen: string[] = [];
  const server = createServer((incoming, response) => {
    seen.push(incoming.headers.authorization ?? '');
    response.end('ok');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    ...{ port: (server.address() as AddressInfo).port, seen },
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** Asks again until it is so, or time is up. */
export async function until(what: string, isSo: () => boolean | Promise<boolean>, ms = 10_000): Promise<number> {
  const startedAt = performance.now();
  while (performance.now() - startedAt < ms) {
    if (await isSo()) return performance.now() - startedAt;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`not within ${ms} ms: ${what}`);
}

/**
 * A second, or as much longer as more processes want this machine's cores than it has: the suite runs beside itself, and what is
 * measured here is the way of a revocation, not the queue for a core.
 */
export const aboutASecond = (): number => 1_000 * Math.max(1, (2 * (loadavg()[0] ?? 0)) / availableParallelism());
