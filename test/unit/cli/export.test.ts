/** The order of an export that gives accounts up: no failure in between may leave the newest tokens in no place. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { ExportView } from '../../../src/api/transfer.ts';
import { writeExport } from '../../../src/cli/commands/export.ts';
import type { Transfer } from '../../../src/cli/transfer.ts';
import { AlterError } from '../../../src/domain/errors.ts';
import { Secret } from '../../../src/domain/secret.ts';
import { temporaryDirectory } from '../../helpers/temporary.ts';

const directory = temporaryDirectory();
const PASSPHRASE = new Secret('SEKRET-marker-passphrase');
const renewed = new AlterError('conflict', { reason: 'The tokens were renewed' });
const lost = new AlterError('vault_unavailable', { reason: 'the daemon went away' });

/** A vault whose n-th export is `n`, and whose answers to "give them up" are these. */
function vaultThat(file: string, answers: (AlterError | number)[]) {
  const seen: string[] = [];
  let made = 0;
  const transfer: Pick<Transfer, 'export' | 'retire'> = {
    export: async () => ({ file: Buffer.from(`${++made}`).toString('base64') }) as ExportView,
    retire: async () => {
      seen.push(readFileSync(file, 'utf8'));
      const answer = answers.shift();
      if (answer instanceof AlterError) throw answer;
      return answer as number;
    },
  };
  return { transfer: transfer as Transfer, seen };
}

it('is on disk before anything is given up, and anew when an account was renewed in between', async () => {
  const file = join(directory(), 'f');
  const { transfer, seen } = vaultThat(file, [renewed, renewed, 2]);
  expect((await writeExport(transfer, file, PASSPHRASE, true)).retired).toBe(2);
  expect(seen).toEqual(['1', '2', '3']);
  expect(readFileSync(file, 'utf8')).toBe('3');
});

it('leaves no file that is out of date', async () => {
  const file = join(directory(), 'f');
  const { transfer } = vaultThat(file, [renewed, renewed, renewed]);
  await expect(writeExport(transfer, file, PASSPHRASE, true)).rejects.toBe(renewed);
  expect(existsSync(file)).toBe(false);
});

it('keeps the file when nobody knows whether they were given up', async () => {
  const file = join(directory(), 'f');
  const { transfer } = vaultThat(file, [lost]);
  await expect(writeExport(transfer, file, PASSPHRASE, true)).rejects.toBe(lost);
  expect(readFileSync(file, 'utf8')).toBe('1');
});
