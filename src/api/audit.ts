/** `/v1/audit`: reading the journal, live and in pages, checking its chain, and exporting it. Nothing here writes, but for the row about bodies that are read. */
import type { HttpBindings } from '@hono/node-server';
import { type Context, Hono } from 'hono';
import { stream } from 'hono/streaming';
import * as z from 'zod';
import type { AuditEntry } from '../domain/audit.ts';
import { AlterError } from '../domain/errors.ts';
import { CSV_HEADER, csvLineOf } from '../journal/export.ts';
import { isMatch } from '../journal/filter.ts';
import type { AuditFilter } from '../journal/reader.ts';
import { bodiesLine, recordReading } from './audit-bodies.ts';
import type { ApiDeps } from './deps.ts';
import { flag, instant, readQuery, wholeNumber } from './input.ts';
import { checkpointView, entryView } from './views.ts';

const filters = {
  agent: z.string().optional(),
  user: z.string().optional(),
  grant: z.string().optional(),
  provider: z.string().optional(),
  credential: z.string().optional(),
  host: z.string().optional(),
  method: z.string().optional(),
  status: wholeNumber.optional(),
  outcome: z.enum(['success', 'refused', 'provider_error', 'client_abort', 'unknown']).optional(),
  decision: z.enum(['allow', 'deny']).optional(),
  kind: z.enum(['exchange', 'tunnel', 'event']).optional(),
  action: z.string().optional(),
  error: z.string().optional(),
  rule: z.string().optional(),
  session: z.string().optional(),
  key: z.string().optional(),
  run: z.string().optional(),
  thread: z.string().optional(),
  tool: z.string().optional(),
  trace: z.string().optional(),
  text: z.string().min(1).optional(),
  since: instant.optional(),
  until: instant.optional(),
  order: z.enum(['newest', 'oldest']).optional(),
};
const page = z.strictObject({ ...filters, limit: wholeNumber.optional(), after: wholeNumber.optional(), open: flag.optional() });
const counted = z.strictObject((({ order: _unused, ...rest }) => rest)(filters));
const exported = z.strictObject({ ...filters, format: z.enum(['jsonl', 'csv']).optional(), bodies: flag.optional() });

/** Without an order, and without an end in time: a tail goes forward. */
const { order: _order, until: _until, ...forward } = filters;
const live = z.strictObject(forward);

type Env = { Bindings: Partial<HttpBindings> };

/** A reader that stops reading its tail is cut off rather than buffered for. */
const TAIL_BACKLOG = 10_000;
/** So that a client that went away without a word is noticed. */
const TAIL_PULSE_MS = 30_000;

export function auditRoutes({ journal, operator }: ApiDeps): Hono<Env> {
  const routes = new Hono<Env>();

  routes.get('/', async (c) => {
    const { open, ...filter } = readQuery(c, page);
    const entries = open === true ? await journal.listOpen() : await journal.list(compact(filter));
    return c.json({ entries: entries.map(entryView) });
  });

  routes.post('/verify', async (c) => {
    const { ok, rows, firstBad, reason, headHash } = await journal.verify();
    return c.json({ ok, rows, first_bad: firstBad, reason, head_hash: headHash });
  });

  routes.get('/key', (c) => c.json({ public_key: journal.publicKeyPem }));

  routes.get('/checkpoints', async (c) => {
    const checkpoints = await journal.checkpoints({ sign: true });
    return c.json({ checkpoints: checkpoints.map(checkpointView) });
  });

  routes.get('/stats', async (c) => c.json(await journal.summary(compact(readQuery(c, counted)))));

  routes.get('/export', async (c) => {
    const { format = 'jsonl', bodies = false, ...filter } = readQuery(c, exported);
    const isCsv = format === 'csv';
    if (bodies && isCsv) throw new AlterError('invalid_input', { problems: ['bodies: go with the format jsonl alone'] });
    if (bodies) await recordReading({ journal, operator }, { export: JSON.stringify(compact(filter)) });
    c.header('content-type', isCsv ? 'text/csv; charset=utf-8; header=present' : 'application/x-ndjson');
    return stream(
      c,
      async (out) => {
        if (isCsv) await out.write(CSV_HEADER);
        const write = async (text: string): Promise<void> => {
          if (out.aborted) throw new AlterError('conflict', { reason: 'the client of the export went away' });
          await out.write(text);
        };
        if (isCsv) await journal.export(compact(filter), (entry) => write(csvLineOf(entry)));
        else
          await journal.exportLines(compact(filter), async (line, bodiesOf) => {
            await write(`${line}\n`);
            if (bodies && bodiesOf) await write(`${await bodiesLine(journal, bodiesOf)}\n`);
          });
      },
      async () => cut(c),
    );
  });

  routes.get('/tail', (c) => tail(c, journal, compact(readQuery(c, live))));

  routes.get('/:request_id', async (c) => {
    const id = c.req.param('request_id');
    const entry = await journal.find(id);
    if (entry === undefined)
      throw new AlterError('not_found', { what: 'audit entry', name: id, list_command: 'alterd audit list' });
    return c.json({ entry: entryView(entry) });
  });

  return routes;
}

/** The answer has begun: a broken connection is the only way left to say that it is not whole. */
function cut(c: Context<Env>): void {
  c.env.outgoing?.destroy();
}

function tail(c: Context<Env>, journal: ApiDeps['journal'], filter: AuditFilter): Response {
  c.header('content-type', 'application/x-ndjson');
  return stream(
    c,
    async (out) => {
      const waiting: AuditEntry[] = [];
      let wake = (): void => {};
      const stop = journal.tail((entry) => {
        if (!isMatch(entry as AuditEntry & Record<string, unknown>, filter)) return;
        waiting.push(entry);
        wake();
      });
      out.onAbort(() => wake());
      try {
        // A blank line tells the client that it is listening: an entry written from now on is not missed.
        await out.write('\n');
        while (!out.aborted && waiting.length < TAIL_BACKLOG) {
          const entry = waiting.shift();
          if (entry !== undefined) await out.write(`${JSON.stringify(entryView(entry))}\n`);
          else if (await isQuiet((resolve) => (wake = resolve))) await out.write('\n');
        }
      } finally {
        stop();
      }
      if (!out.aborted) cut(c);
    },
    async () => cut(c),
  );
}

/** Waits for `onWake`, or for the pulse: true when nothing came. */
function isQuiet(onWake: (resolve: () => void) => void): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(true), TAIL_PULSE_MS);
    timer.unref();
    onWake(() => {
      clearTimeout(timer);
      resolve(false);
    });
  });
}

/** Without the members that were not given: `undefined` is no filter value. */
function compact(filter: { readonly [K in keyof AuditFilter]?: AuditFilter[K] | undefined }): AuditFilter {
  return Object.fromEntries(Object.entries(filter).filter(([, value]) => value !== undefined)) as AuditFilter;
}
