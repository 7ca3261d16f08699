/** `/v1/kill`: ends one thing at once, everywhere: what is under way with it is cut, and every host of the fleet is told. */
import { Hono } from 'hono';
import * as z from 'zod';
import { AlterError } from '../domain/errors.ts';
import { userLabel } from '../domain/user.ts';
import type { ApiDeps } from './deps.ts';
import { readBody } from './input.ts';

export const KILLABLE = ['grant', 'agent', 'user', 'host'] as const;
export type Killable = (typeof KILLABLE)[number];

export interface KilledView {
  readonly kind: Killable;
  readonly id: string;
  readonly name: string;
  readonly status: string;
}

const killing = z.strictObject({ kind: z.enum(KILLABLE), name: z.string().min(1).max(512) });

export function killRoutes({ vault, fleet }: ApiDeps): Hono {
  const routes = new Hono();

  /** Nothing that it ends comes back by itself: an agent, a grant and a host never, a user when an operator says so. */
  const end: Readonly<Record<Killable, (name: string) => Promise<Omit<KilledView, 'kind'>>>> = {
    grant: async (name) => {
      const { id, label, status } = await vault.grants.revoke(name);
      return { id, name: label === '' ? id : label, status };
    },
    agent: (name) => vault.agents.changeStatus(name, 'revoked'),
    user: async (name) => {
      const user = await vault.users.changeStatus(name, 'deactivated');
      return { id: user.id, name: userLabel(user), status: user.status };
    },
    host: async (name) => {
      if (fleet === undefined)
        throw new AlterError('conflict', {
          reason: 'This daemon is no central vault, so it has no hosts',
          hint: 'Run this at the vault: `alterd kill host NAME` with its --home.',
        });
      return fleet.hosts.changeStatus(name, 'revoked');
    },
  };

  routes.post('/', async (c) => {
    const { kind, name } = await readBody(c, killing);
    const { id, name: shown, status } = await end[kind](name);
    return c.json({ killed: { kind, id, name: shown, status } satisfies KilledView });
  });

  return routes;
}
