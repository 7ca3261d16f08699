/** A home is a daemon's or a central vault's: neither command takes the other's without a word. */
import { writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { startTestDaemon } from '../../helpers/daemon.ts';
import { temporaryDirectory } from '../../helpers/temporary.ts';
import { runCli } from '../api/cli-process.ts';
import { startVaultStage } from './rig.ts';

const directory = temporaryDirectory();

test('the vault of a daemon with agents becomes a central one only when that is confirmed', async () => {
  const { home, agent, running } = await startTestDaemon({ home: directory() });
  await agent('bot');
  await running.stop();
  // A start that fails anyway changes nothing, whatever was confirmed: the next one still asks.
  const nameless = await runCli(home, ['vault', 'start', '--listen', '0.0.0.0:0', '--yes']);
  expect([nameless.code, nameless.stderr]).toEqual([2, expect.stringContaining('public_names must be set')]);
  const asked = await runCli(home, ['vault', 'start', '--listen', '127.0.0.1:0']);
  expect(asked).toMatchObject({ code: 2, stdout: '' });
  expect(asked.stderr).toMatch(/daemon's own, with 1 agent\.[\s\S]*Make it a central vault\?\n.*--yes/);
});

test('no daemon starts over a central vault, nor beside its database', async () => {
  const { home, paths, stop } = await startVaultStage(directory);
  await stop();
  const refused = await runCli(home, ['start', '--listen', '127.0.0.1:0']);
  expect(refused).toMatchObject({ code: 5, stdout: '' });
  expect(refused.stderr).toMatch(
    /is a central one, which hosts borrow from[\s\S]*`alterd vault start`.*`alterd --home DIR start`/,
  );
  writeFileSync(paths.configFile, '[vault_server]\ndatabase = "postgres://vault@127.0.0.1:9/vault"\n');
  const elsewhere = await runCli(home, ['start', '--listen', '127.0.0.1:0']);
  expect([elsewhere.code, elsewhere.stderr]).toEqual([5, expect.stringContaining('vault_server.database')]);
});
