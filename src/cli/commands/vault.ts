/** `alterd vault`: the central vault that the daemons of other machines borrow from. */
import type { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { example } from '../define.ts';
import { defineVaultDoctor } from './vault-doctor.ts';
import { defineVaultHost } from './vault-host.ts';
import { defineVaultStart } from './vault-start.ts';

export function defineVault(command: Command, cli: Cli): void {
  defineVaultStart(command, cli);
  defineVaultHost(command, cli);
  defineVaultDoctor(command, cli);
  example(command, 'alterd vault start --listen 0.0.0.0:4790');
}
