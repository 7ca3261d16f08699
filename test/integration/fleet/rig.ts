/** A central vault in this process, over SQLite on a temporary home, and hosts of it with real keys over real TLS. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { type ApiClient, openClient } from '../../../src/api/client.ts';
import type { InvitationView } from '../../../src/api/hosts.ts';
import { loadConfig } from '../../../src/config/load.ts';
import { type Paths, resolvePaths } from '../../../src/config/paths.ts';
import { MasterKey } from '../../../src/crypto/master-key.ts';
import type { EnrollAnswer } from '../../../src/domain/fleet-wire.ts';
import { Secret } from '../../../src/domain/secret.ts';
import { HOST_CAPABILITIES } from '../../../src/vault/host-capabilities.ts';
import { enrollHost } from '../../../src/vault-client/enrollment.ts';
import { type HostKeys, hostKeyFiles, openHostKeys } from '../../../src/vault-client/host-keys.ts';
import { fetchAuthority } from '../../../src/vault-client/pinning.ts';
import { SignedClient } from '../../../src/vault-client/signed-client.ts';
import { type RunningVaultServer, startVaultServer } from '../../../src/vault-server.ts';

export const QUIET = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {}, setLevel: () => {} };

export interface VaultStage {
  readonly home: string;
  readonly paths: Paths;
  readonly server: RunningVaultServer;
  /** Of the management socket. */
  readonly api: ApiClient;
  /** PEM of the pinned authority. */
  readonly ca: string;
  invite(name: string): Promise<InvitationView>;
  /** Invites and enrolls. */
  enroll(name: string): Promise<StageHost>;
  stop(): Promise<void>;
}

export interface StageHost {
  readonly name: string;
  readonly dir: string;
  readonly sealer: MasterKey;
  readonly keys: HostKeys;
  readonly answer: EnrollAnswer;
  client(options?: { now?: () => number; keys?: HostKeys }): SignedClient;
}

export interface StageOptions {
  readonly home?: string;
  readonly config?: string;
  /** Left out: a port that the kernel chooses. */
  readonly listen?: string;
  readonly acceptRestore?: boolean;
}

export async function startVaultStage(directory: () => string, options: StageOptions = {}): Promise<VaultStage> {
  const home = options.home ?? directory();
  const paths = resolvePaths({ home, env: {} });
  if (options.config !== undefined) {
    mkdirSync(paths.configDir, { recursive: true, mode: 0o700 });
    writeFileSync(paths.configFile, options.config);
  }
  const flags = { 'vault_server.listen': options.listen ?? '127.0.0.1:0', 'log.level': 'silent' };
  const reloadConfig = () => loadConfig({ file: paths.configFile, env: {}, flags });
  const { acceptRestore = false } = options;
  const server = await startVaultServer({ paths, loaded: reloadConfig(), reloadConfig, log: QUIET, acceptRestore });
  const api = openClient(paths.apiSocket);
  const ca = await fetchAuthority(server.fleet.url, server.fleet.fingerprint);
  const invite = (name: string) => api.send<InvitationView>('/v1/hosts', { name });
  const clients: SignedClient[] = [];
  return {
    ...{ home, paths, server, api, ca, invite },
    enroll: async (name) => {
      const { token } = await invite(name);
      const dir = directory();
      const sealer = new MasterKey('file', Buffer.alloc(32, 7));
      const about = { capabilities: HOST_CAPABILITIES, version: '0.1.0' };
      const answer = await enrollHost({ url: server.fleet.url, ca, token: new Secret(token), stateDir: dir, sealer, ...about });
      const keys = openHostKeys(hostKeyFiles(dir).current, sealer);
      return {
        ...{ name, dir, sealer, keys, answer },
        client: (more = {}) => {
          const signing = (more.keys ?? keys).signing;
          const client = new SignedClient({
            url: server.fleet.url,
            ca,
            identity: { hostId: answer.host_id, signing },
            now: more.now,
          });
          clients.push(client);
          return client;
        },
      };
    },
    stop: async () => {
      for (const client of clients) client.close();
      await server.stop();
    },
  };
}
