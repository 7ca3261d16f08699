/** `/v1/backup`: a backup into a directory of the daemon's machine. Nothing of its content is in an answer. */
import { Hono } from 'hono';
import * as z from 'zod';
import { AlterError } from '../domain/errors.ts';
import type { ApiDeps, BackupFacts } from './deps.ts';
import { readBody } from './input.ts';

const asked = z.strictObject({ directory: z.string().min(1).max(4_096) });

export interface BackupView {
  readonly id: string;
  readonly directory: string;
  readonly made_at: string;
  readonly epoch: number;
  readonly database: 'sqlite' | 'postgresql';
  readonly key_source: string;
  readonly bytes: number;
  readonly files: readonly string[];
}

export const backupView = ({ directory, manifest }: BackupFacts): BackupView => ({
  ...{ id: manifest.id, directory, made_at: manifest.made_at, epoch: manifest.epoch },
  ...{ database: manifest.database, key_source: manifest.key_source },
  bytes: manifest.files.reduce((sum, file) => sum + file.bytes, 0),
  files: manifest.files.map(({ path }) => path),
});

export function backupRoutes({ backup }: ApiDeps): Hono {
  const routes = new Hono();

  routes.post('/', async (c) => {
    if (backup === undefined)
      throw new AlterError('conflict', {
        reason: 'This host borrows what it may use, so that there is nothing of its own to back up',
        hint: 'Back up the vault, on its machine; a host that is lost is enrolled anew: `alterd vault host rekey NAME`.',
      });
    const { directory } = await readBody(c, asked);
    return c.json({ backup: backupView(await backup.write(directory)) }, 201);
  });

  return routes;
}
