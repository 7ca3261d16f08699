/**
 * The procedures of OPERATIONS.md, line by line as they stand there: a backup, a disaster, the restore, and the move to a central vault.
 * What systemctl does there is done here by hand; directories of an installed service are those of the test.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestDaemon, type TestDaemon } from '../../helpers/daemon.ts';
import { temporaryDirectory } from '../../helpers/temporary.ts';
import { fencesOf, textOf } from '../../unit/docs/documents.ts';
import { startVaultStage, type VaultStage } from '../fleet/rig.ts';
import { type CliResult, runInside } from './cli-process.ts';

const directory = temporaryDirectory();
const home = directory();
const elsewhere = directory();
let daemon: TestDaemon;
let vault: VaultStage;

/** The lines of the block that begins so. */
function linesOf(beginning: string): string[] {
  const block = fencesOf(textOf('OPERATIONS.md')).find(({ text }) => text.startsWith(beginning));
  return (block?.text ?? '').trim().split('\n');
}

async function follow(line: string, at: string): Promise<CliResult> {
  if (line === 'sudo systemctl stop alterd') await daemon.running.stop();
  else if (line === 'sudo systemctl start alterd') daemon = await startTestDaemon({ home });
  else {
    const words = line.replaceAll('/var/lib/alterd', elsewhere).replaceAll('/root', elsewhere).split(' ');
    expect(words.shift()).toBe('alterd');
    const result = await runInside(at, words.includes('restore') ? [...words, '--yes'] : words);
    expect({ line, ...result }).toMatchObject({ code: 0 });
    return result;
  }
  return { code: 0, stdout: '', stderr: '' };
}

beforeAll(async () => {
  daemon = await startTestDaemon({ home });
  vault = await startVaultStage(directory);
  await daemon.agent('research-bot');
  await daemon.api('POST', '/v1/secrets', { provider: 'bearer', name: 's', fields: { token: 'SEKRET-marker-token' } });
  await daemon.api('POST', '/v1/grants', { credential: 's', agent: 'research-bot', hosts: ['api.example.test'] });
});
afterAll(async () => {
  await vault.stop();
  await daemon.running.stop();
});

test('a backup, a disaster, and the restore', async () => {
  for (const line of linesOf('alterd backup')) await follow(line, home);
  await daemon.agent('of-after');
  const [stop = '', ...rest] = linesOf('sudo systemctl stop alterd\n');
  await follow(stop, home);
  rmSync(daemon.paths.vaultDb);
  for (const line of rest) await follow(line, home);
  const { agents } = await daemon.api<{ agents: { name: string }[] }>('GET', '/v1/agents');
  expect(agents.map(({ name }) => name)).toEqual(['research-bot']);
});

test('everything goes to a central vault, and a host is let have it', async () => {
  mkdirSync(elsewhere, { recursive: true });
  writeFileSync(join(elsewhere, 'passphrase'), 'SEKRET-marker-passphrase\n', { mode: 0o600 });
  const [exporting = '', ...rest] = linesOf('alterd export');
  await follow(exporting, home);
  const [looked, imported] = [await follow(rest.shift() ?? '', vault.home), await follow(rest.shift() ?? '', vault.home)];
  expect(looked.stdout).toMatch(/^outcome +would be imported/);
  expect(imported.stderr).toContain('alterd vault host assign web-01 --agent research-bot');
  for (const line of rest) await follow(line, vault.home);
  expect(await vault.api.read('/v1/hosts/web-01')).toMatchObject({ host: { agents: ['research-bot'] } });
  expect(await vault.api.read('/v1/grants')).toMatchObject({ grants: [{ credential: 's' }] });
});
