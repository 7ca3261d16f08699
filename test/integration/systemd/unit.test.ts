/** What systemd's own tools say of the unit, and that the daemon lives under the filter that the unit sets. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { PROGRAM } from '../../helpers/program.ts';
import { temporaryDirectory } from '../../helpers/temporary.ts';
import { copyUnit, isPresent, nodeArguments, ROOT, settingsOf, UNIT, VAULT_UNIT } from './unit-file.ts';

const directory = temporaryDirectory();
const FILTER = join(ROOT, 'test', 'integration', 'systemd', 'syscall-filter.py');
/** systemd 252 says 1.5; other versions look at a few settings more. */
const MAX_EXPOSURE = 2.0;

describe.each([
  ['alterd.service', UNIT],
  ['alterd-vault.service', VAULT_UNIT],
])('the unit %s', (name, unit) => {
  test('has nothing that systemd-analyze verify complains of', () => {
    if (!isPresent('systemd-analyze')) return;
    const { status, stdout, stderr } = spawnSync('systemd-analyze', ['verify', copyUnit(directory(), name, unit)], {
      encoding: 'utf8',
    });
    expect({ status, said: stdout + stderr }).toEqual({ status: 0, said: '' });
  });

  test('is rated as little exposed', () => {
    if (!isPresent('systemd-analyze')) return;
    const { stdout } = spawnSync(
      'systemd-analyze',
      ['security', '--offline=true', '--no-pager', copyUnit(directory(), name, unit)],
      {
        encoding: 'utf8',
      },
    );
    const exposure = Number(/Overall exposure level for \S+: ([\d.]+)/.exec(stdout)?.[1]);
    console.log(`systemd-analyze security: ${exposure}`);
    expect(exposure).toBeLessThanOrEqual(MAX_EXPOSURE);
  });

  test('keeps secrets from dumps and swap, and does not forbid what V8 needs', () => {
    expect(settingsOf('LimitCORE', unit)).toEqual(['0']);
    expect(settingsOf('MemorySwapMax', unit)).toEqual(['0']);
    expect(settingsOf('UMask', unit)).toEqual(['0077']);
    expect(settingsOf('StateDirectoryMode', unit)).toEqual(['0700']);
    expect(settingsOf('CapabilityBoundingSet', unit)).toEqual(['']);
    expect(settingsOf('MemoryDenyWriteExecute', unit)).toEqual([]);
  });
});

/** The system calls that the lines of SystemCallFilter leave, groups taken apart by systemd-analyze. */
function allowedCalls(): string[] {
  const membersOf = (word: string): string[] => {
    if (!word.startsWith('@')) return [word];
    const { stdout } = spawnSync('systemd-analyze', ['syscall-filter', word], { encoding: 'utf8' });
    const lines = stdout
      .split('\n')
      .slice(1)
      .map((line) => line.trim());
    return lines.filter((line) => line !== '' && !line.startsWith('#')).flatMap(membersOf);
  };
  const allowed = new Set<string>();
  for (const line of settingsOf('SystemCallFilter')) {
    const words = line.replace(/^~/, '').split(' ').flatMap(membersOf);
    for (const word of words) line.startsWith('~') ? allowed.delete(word) : allowed.add(word);
  }
  return [...allowed];
}

describe('under the system call filter and the address families of the unit', () => {
  test('what it forbids fails, and the whole demonstration works', () => {
    if (!isPresent('systemd-analyze') || !isPresent('python3')) return;
    const families = settingsOf('RestrictAddressFamilies')[0]?.split(' ') ?? [];
    const filtered = (...command: string[]) =>
      spawnSync('python3', [FILTER, allowedCalls().join(','), families.join(','), ...command], { encoding: 'utf8', cwd: ROOT });

    const forbidden = filtered('python3', '-c', 'import os; os.setpriority(os.PRIO_PROCESS, 0, 5)');
    if (forbidden.status === 77) {
      console.log('not present here: seccomp, or the header with the numbers of system calls');
      return;
    }
    expect(forbidden.stderr).toContain('Operation not permitted');
    const packet = filtered('python3', '-c', 'import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW)');
    expect(packet.stderr).toContain('Address family not supported');

    const demo = filtered(process.execPath, ...nodeArguments(), PROGRAM, 'demo');
    expect({ status: demo.status, stderr: demo.stderr }).toEqual({ status: 0, stderr: '' });
    expect(demo.stdout).toContain('The client never saw the secret.');
  });
});
