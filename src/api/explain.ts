/** `/v1/explain`: one audit entry in words, with what would have made it go otherwise. */
import { Hono } from 'hono';
import { AlterError } from '../domain/errors.ts';
import type { ApiDeps } from './deps.ts';
import { explanationOf } from './explanation.ts';
import { type EntryView, entryView, grantView } from './views.ts';

export interface ExplainView {
  readonly entry: EntryView;
  readonly verdict: string;
  readonly why: readonly string[];
  readonly fix: readonly string[];
}

export function explainRoutes({ vault, journal, now = Date.now }: ApiDeps): Hono {
  const routes = new Hono();
  const nameOf = (id: string): string | null => vault.agents.list().find((agent) => agent.id === id)?.name ?? null;

  routes.get('/:request_id', async (c) => {
    const id = c.req.param('request_id');
    const entry = await journal.find(id);
    if (entry === undefined)
      throw new AlterError('not_found', { what: 'audit entry', name: id, list_command: 'alterd audit list' });
    const grant = vault.grants.list().find((each) => each.id === entry.grant_id);
    const view = grant === undefined ? null : grantView(grant, nameOf, now());
    return c.json({ entry: entryView(entry), ...explanationOf(entry, view) } satisfies ExplainView);
  });

  return routes;
}
