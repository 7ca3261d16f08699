/** A central vault and a host of it as people run them: start, invite, enroll, a signed call, revoke, refused; and nothing told twice. */
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  ALTERD,
  type AlterdProcess,
  type Ended,
  makeHome,
  plainEnv,
  runProgram,
  startAlterd,
} from '../helpers/alterd-process.ts';

interface Invitation {
  readonly token: string;
  readonly url: string;
  readonly fingerprint: string;
  readonly command: string;
}

let vault: AlterdProcess;
let home: string;
const host = (...args: string[]): Promise<Ended> =>
  runProgram(process.execPath, [ALTERD, '--home', home, ...args], { env: plainEnv(join(home, 'user')) });

beforeAll(async () => {
  vault = await startAlterd({ verb: ['vault', 'start'], config: '# nothing\n' });
  home = makeHome('# mine\n[log]\nlevel = "warn" # kept\n');
});
afterAll(async () => {
  await vault.stop();
  rmSync(home, { recursive: true, force: true });
});

test('from the invitation to the end', async () => {
  const invitation = await vault.json<Invitation>(['vault', 'host', 'invite', 'web-01']);
  const { token, url, fingerprint, command } = invitation;
  expect(command).toBe(`alterd enroll ${url} --fingerprint ${fingerprint}`);
  const tokenFile = join(home, 'token');
  writeFileSync(tokenFile, `${token}\n`, { mode: 0o600 });
  const enroll = (...more: string[]) => host(...command.split(' ').slice(1), '--token-file', tokenFile, ...more);

  const wrong = await host(
    'enroll',
    url,
    '--fingerprint',
    fingerprint.replace(/^../, 'ZZ'.replaceAll('Z', fingerprint.startsWith('00') ? '1' : '0')),
    '--token-file',
    tokenFile,
  );
  expect([wrong.status, wrong.stderr]).toEqual([7, expect.stringContaining('is not the vault that this host trusts')]);
  expect((await host('enroll', url, '--token-file', tokenFile)).stderr).toContain('--fingerprint is missing');

  expect(await enroll()).toMatchObject({ status: 0, stdout: expect.stringContaining('web-01') });
  const config = readFileSync(join(home, 'config', 'alterd.toml'), 'utf8');
  expect(config).toContain('# mine\n[log]\nlevel = "warn" # kept\n');
  expect(config).toContain(`url = "${url}"`);
  expect(await enroll()).toMatchObject({ status: 0 });
  expect(readFileSync(join(home, 'config', 'alterd.toml'), 'utf8')).toBe(config);
  expect(statSync(join(home, 'state', 'host.key')).mode & 0o777).toBe(0o600);

  // A signed call.
  const before = readFileSync(join(home, 'state', 'host.key'));
  expect(await host('enroll', '--rekey')).toMatchObject({ status: 0 });
  expect(readFileSync(join(home, 'state', 'host.key'))).not.toEqual(before);
  expect(existsSync(join(home, 'state', 'host.next.key'))).toBe(false);
  expect(await vault.json(['vault', 'host', 'show', 'web-01'])).toMatchObject({ host: { status: 'active' } });

  expect((await vault.cli(['vault', 'host', 'revoke', 'web-01'])).status).toBe(2);
  await vault.ok(['vault', 'host', 'revoke', 'web-01', '--yes']);
  const refused = await host('enroll', '--rekey');
  expect([refused.status, refused.stderr]).toEqual([7, expect.stringContaining('is revoked at the vault')]);
  expect((await enroll()).stderr).toContain('knows no such enrolment token');

  // SECURITY: the token is nowhere but where it was told.
  expect(vault.log()).not.toContain(token);
  expect(await vault.ok(['audit', 'export'])).not.toContain(token);
  for (const file of readdirSync(join(vault.home, 'state'), { recursive: true, withFileTypes: true }))
    if (file.isFile()) expect(readFileSync(join(file.parentPath ?? file.path, file.name)).includes(token)).toBe(false);
});

test('another daemon has no hosts, and says where they are', async () => {
  const daemon = await startAlterd();
  const { status, stderr } = await daemon.cli(['vault', 'host', 'list']);
  expect([status, stderr]).toEqual([5, expect.stringContaining('alterd vault start')]);
  await daemon.stop();
});

test('a listener that would have no name is told before anything is served', async () => {
  const end = await runProgram(process.execPath, [ALTERD, '--home', makeHome(), 'vault', 'start', '--listen', '0.0.0.0:0'], {
    env: plainEnv(home),
  });
  expect([end.status, end.stderr]).toEqual([2, expect.stringContaining('vault_server.public_names must be set')]);
});
