/** The vault of a host alone, without the daemon around it: many fit into one process. */
import { join } from 'node:path';
import { HostOpener } from '../../../src/crypto/hpke.ts';
import { keyFromBytes } from '../../../src/crypto/seal.ts';
import { HostCalls } from '../../../src/vault-client/host-calls.ts';
import { LeaseCache } from '../../../src/vault-client/lease-cache.ts';
import { type ClockSource, machineClock } from '../../../src/vault-client/lease-clock.ts';
import { RemoteVault } from '../../../src/vault-client/remote-vault.ts';
import { catalogue, MemoryJournal } from '../../contract/vault/fixtures.ts';
import type { StageHost, VaultStage } from './rig.ts';

export interface RemoteOptions {
  readonly clock?: ClockSource;
  readonly dir?: string;
  /** Something between the two ends every stream at once. */
  readonly cutStreams?: boolean;
  /** Puts something else in the place of calls. */
  readonly tamper?: (calls: HostCalls) => void;
}

export async function openRemote(stage: VaultStage, host: StageHost, options: RemoteOptions = {}): Promise<RemoteVault> {
  const client = host.client();
  const { host_id: hostId, vault_id: vaultId } = host.answer;
  const dir = options.dir ?? host.dir;
  const calls = new HostCalls({ client, opener: new HostOpener(host.keys.sealing), vaultId, hostId });
  if (options.cutStreams === true) calls.events = async () => {};
  options.tamper?.(calls);
  const remote = new RemoteVault({
    ...{ url: stage.server.fleet.url, catalogue, audit: new MemoryJournal(), policiesDir: join(dir, 'policies') },
    ...{ clock: options.clock ?? machineClock(), log: { warn: () => {}, info: () => {} } },
    calls,
    cache: LeaseCache.open({ dir, key: keyFromBytes(Buffer.from(host.keys.sealing.privateKey)) }),
    onClosed: () => client.close(),
  });
  await remote.start();
  return remote;
}

/** Clocks that a test moves. */
export class TestClock implements ClockSource {
  bootId = 'boot-1';
  boot = 1_000_000;
  wall = Date.now();
  readonly bootMs = (): number => this.boot;
  readonly wallMs = (): number => this.wall;

  pass(ms: number): void {
    this.boot += ms;
    this.wall += ms;
  }
}
