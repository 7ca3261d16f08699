/** `/v1/master-key`: how old the master key is, and its replacement. The key itself is in no answer. */
import { Hono } from 'hono';
import * as z from 'zod';
import { AlterError } from '../domain/errors.ts';
import type { MasterKeyFacts, RotationReport } from '../domain/master-key-report.ts';
import type { ApiDeps, MasterKeyPort } from './deps.ts';
import { readOptionalBody } from './input.ts';

export interface MasterKeyView {
  readonly source: string;
  readonly check: string;
  /** Null: the first key of the vault is in force. */
  readonly since: string | null;
}

export interface RotationView extends MasterKeyView {
  readonly outcome: RotationReport['outcome'];
  readonly secrets_resealed: boolean;
  readonly waits_in: string | null;
  readonly left_to_do: readonly string[];
}

const rotateBody = z.strictObject({ stage: z.boolean().default(false), reseal: z.boolean().default(false) });

export function masterKeyRoutes({ masterKey }: ApiDeps): Hono {
  const routes = new Hono();
  routes.get('/', (c) => c.json(keyView(portOf(masterKey).facts)));
  routes.post('/rotate', async (c) => {
    const port = portOf(masterKey);
    return c.json(rotationView(await port.rotate(await readOptionalBody(c, rotateBody))));
  });
  return routes;
}

function portOf(masterKey: MasterKeyPort | undefined): MasterKeyPort {
  if (masterKey !== undefined) return masterKey;
  throw new AlterError('conflict', {
    reason: 'This host borrows from a central vault, whose master key is not here',
    hint: 'Run the command on the machine of the vault.',
  });
}

const keyView = ({ source, check, since }: MasterKeyFacts): MasterKeyView => ({
  source,
  check,
  since: since === null ? null : new Date(since).toISOString(),
});

const rotationView = (report: RotationReport): RotationView => ({
  outcome: report.outcome,
  ...keyView(report),
  secrets_resealed: report.isResealed,
  waits_in: report.waitsIn,
  left_to_do: report.todo,
});
