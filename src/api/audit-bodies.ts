/**
 * `/v1/audit/REQUEST/bodies`: what is kept of the bodies of an exchange, for the operator alone. SECURITY: whoever reads one leaves a
 * row, written before anything is read; the journal is asked for nothing else here.
 */
import { isUtf8 } from 'node:buffer';
import { Hono } from 'hono';
import type { AuditClosing } from '../domain/audit.ts';
import type { StoredBodies, StoredBody } from '../domain/audit-body.ts';
import { BLANK_EVENT } from '../domain/audit-event.ts';
import { AlterError, toAlterError } from '../domain/errors.ts';
import type { ApiDeps } from './deps.ts';

/** One body as it is shown. */
export interface BodyView {
  readonly content_type: string | null;
  /** The coding that it was in; `text` is without it. */
  readonly coding: string | null;
  /** Bytes of the whole body. */
  readonly length: number;
  readonly truncated: boolean;
  /** Values that were masked before it was stored. */
  readonly redacted: number;
  readonly encoding: 'utf8' | 'base64';
  readonly text: string;
}

export interface BodiesView {
  readonly request: BodyView | null;
  readonly response: BodyView | null;
}

type Reading = Pick<ApiDeps, 'journal' | 'operator'>;

export function auditBodyRoutes({ journal, operator }: ApiDeps): Hono {
  const routes = new Hono();
  routes.get('/:request_id/bodies', async (c) => {
    const id = c.req.param('request_id');
    const entry = await journal.find(id);
    if (entry === undefined)
      throw new AlterError('not_found', { what: 'audit entry', name: id, list_command: 'alterd audit list' });
    await recordReading({ journal, operator }, { request_id: entry.request_id });
    const bodies = await journal.bodies(entry.request_id);
    return c.json(bodiesView(bodies));
  });
  return routes;
}

const ENDED: AuditClosing = { outcome: 'success', status: null, error: null, latency_ms: 0, bytes_in: 0, bytes_out: 0 };

/** @throws AlterError audit_unavailable: then nothing is read */
export async function recordReading({ journal, operator }: Reading, details: Readonly<Record<string, string>>): Promise<void> {
  await journal.record(
    { ...BLANK_EVENT, at: Date.now(), action: 'audit.bodies_read', details: { ...details, by: operator.name } },
    ENDED,
  );
}

/** The line behind a row in an export with bodies; bodies that were changed are owned up to instead. */
export async function bodiesLine(journal: Reading['journal'], requestId: string): Promise<string> {
  try {
    const { request, response } = bodiesView(await journal.bodies(requestId));
    return JSON.stringify({ kind: 'bodies', request_id: requestId, request, response });
  } catch (thrown) {
    return JSON.stringify({ kind: 'bodies', request_id: requestId, error: toAlterError(thrown).message });
  }
}

const bodiesView = (bodies: StoredBodies | null): BodiesView => ({
  request: bodyView(bodies?.request ?? null),
  response: bodyView(bodies?.response ?? null),
});

function bodyView(body: StoredBody | null): BodyView | null {
  if (body === null) return null;
  const { contentType, coding, length, truncated, redacted } = body;
  return { content_type: contentType, coding, length, truncated, redacted, ...shown(body) };
}

/** Text as text. One that was cut may end amid a character, which is left out then. */
function shown({ bytes, truncated }: StoredBody): Pick<BodyView, 'encoding' | 'text'> {
  for (let cut = 0; cut <= (truncated ? 3 : 0) && cut < bytes.length; cut += 1) {
    const part = bytes.subarray(0, bytes.length - cut);
    if (isUtf8(part) && !part.includes(0)) return { encoding: 'utf8', text: part.toString('utf8') };
  }
  return bytes.length === 0 ? { encoding: 'utf8', text: '' } : { encoding: 'base64', text: bytes.toString('base64') };
}
