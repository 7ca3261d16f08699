/** `alterd vault`: the master key of this vault, and serving it to the daemons of other machines. */
import type { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { example } from '../define.ts';
import { defineVaultDoctor } from './vault-doctor.ts';
import { defineVaultHost } from './vault-host.ts';
import { defineVaultKey } from './vault-key.ts';
import { defineVaultQuotas } from './vault-quotas.ts';
import { defineVaultStart } from './vault-start.ts';

export function defineVault(command: Command, cli: Cli): void {
  defineVaultStart(command, cli);
  defineVaultHost(command, cli);
  defineVaultKey(command, cli);
  defineVaultQuotas(command, cli);
  defineVaultDoctor(command, cli);
  example(command, 'alterd vault start --listen 0.0.0.0:4790');
}
