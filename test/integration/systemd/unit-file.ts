/** The unit file as the tests need it: its settings, and a copy that starts this checkout. */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
export const UNIT_FILE = join(ROOT, 'systemd', 'alterd.service');
export const UNIT = readFileSync(UNIT_FILE, 'utf8');
/** The unit of a central vault. */
export const VAULT_UNIT = readFileSync(join(ROOT, 'systemd', 'alterd-vault.service'), 'utf8');

/** All values of a setting, in order. */
export const settingsOf = (name: string, unit = UNIT): string[] =>
  [...unit.matchAll(new RegExp(`^${name}=(.*)$`, 'gm'))].map((match) => match[1] ?? '');

/** The arguments that the unit gives to Node before the program. */
export const nodeArguments = (): string[] =>
  (settingsOf('ExecStart')[0] ?? '')
    .split(' ')
    .slice(1)
    .filter((word) => word.startsWith('-'));

/** A copy under its own name in `dir` that names programs of this machine. */
export function copyUnit(dir: string, name = 'alterd.service', unit = UNIT): string {
  const file = join(dir, name);
  writeFileSync(file, unit.replaceAll('/opt/alterd/', ROOT).replaceAll('/usr/bin/node', process.execPath));
  return file;
}

/** Whether a program is there; says so where it is not, since a test that needs it proves nothing then. */
export function isPresent(program: string): boolean {
  const found = spawnSync(program, ['--version']).error === undefined;
  if (!found) console.log(`not present here: ${program}`);
  return found;
}
