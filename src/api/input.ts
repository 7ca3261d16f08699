/**
 * Reading what a client sent: the body and the query, checked by a schema, with every problem told at once.
 * SECURITY: bodies carry secrets, so no message may quote what was sent: only names of keys and what was expected.
 */
import type { Context } from 'hono';
import * as z from 'zod';
import { AlterError } from '../domain/errors.ts';

const BODY_MAX_BYTES = 1024 * 1024;

/** ISO 8601 with an offset, as epoch milliseconds. */
export const instant = z.iso
  .datetime({ offset: true, error: 'must be a time like 2031-01-31T12:00:00Z' })
  .transform((text) => Date.parse(text));

/** `true` or `false` in a query. */
export const flag = z.enum(['true', 'false']).transform((text) => text === 'true');

/** A whole number in a query. */
export const wholeNumber = z
  .string()
  .regex(/^\d{1,15}$/, 'must be a whole number')
  .transform(Number);

/** The body, checked. @throws AlterError malformed_request, invalid_input */
export async function readBody<S extends z.ZodType>(c: Context, schema: S, maxBytes = BODY_MAX_BYTES): Promise<z.output<S>> {
  const type = c.req.header('content-type') ?? '';
  if (!/^application\/json\s*(;|$)/i.test(type)) {
    throw new AlterError('malformed_request', { reason: 'the body must be application/json' });
  }
  const text = await readText(c, maxBytes);
  let raw: unknown;
  try {
    raw = JSON.parse(text);
  } catch {
    // SECURITY: the parser's own message quotes the body.
    throw new AlterError('malformed_request', { reason: 'the body is not valid JSON' });
  }
  return check(schema, raw, 'the body');
}

/** SECURITY: counted while it arrives; a length that is announced proves nothing. */
async function readText(c: Context, maxBytes: number): Promise<string> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of (c.req.raw.body ?? []) as AsyncIterable<Uint8Array>) {
    bytes += part.byteLength;
    if (bytes > maxBytes) {
      const reason = `the body has more than ${maxBytes / 1024 / 1024} MiB`;
      throw new AlterError('request_too_large', { reason }, { hint: 'Send less at once.' });
    }
    parts.push(part);
  }
  return Buffer.concat(parts).toString('utf8');
}

/** As readBody; no body at all counts as `{}`. */
export async function readOptionalBody<S extends z.ZodType>(c: Context, schema: S): Promise<z.output<S>> {
  const isEmpty =
    c.req.header('content-length') === '0' || (c.req.raw.body === null && c.req.header('content-type') === undefined);
  return isEmpty ? check(schema, {}, 'the body') : readBody(c, schema);
}

/** The query, checked. @throws AlterError invalid_input */
export function readQuery<S extends z.ZodType>(c: Context, schema: S): z.output<S> {
  const raw: Record<string, string> = {};
  for (const [name, values] of Object.entries(c.req.queries())) {
    if (values.length > 1) throw new AlterError('invalid_input', { problems: [`${name} is given more than once`] });
    raw[name] = values[0] ?? '';
  }
  return check(schema, raw, 'the query');
}

function check<S extends z.ZodType>(schema: S, raw: unknown, whole: string): z.output<S> {
  const result = schema.safeParse(raw);
  if (result.success) return result.data;
  throw new AlterError('invalid_input', { problems: result.error.issues.map((issue) => sentence(issue, whole)) });
}

function sentence(issue: z.core.$ZodIssue, whole: string): string {
  const at = issue.path.length === 0 ? whole : issue.path.map(String).join('.');
  switch (issue.code) {
    case 'unrecognized_keys':
      return `${issue.path.length === 0 ? '' : `${at}: `}unknown key ${issue.keys.map((key) => JSON.stringify(key)).join(', ')}`;
    case 'invalid_type':
      return issue.message.endsWith('received undefined') ? `${at} is missing` : `${at} must be of type ${issue.expected}`;
    case 'invalid_value':
      return `${at} must be one of ${issue.values.map((value) => JSON.stringify(value)).join(', ')}`;
    case 'too_small':
      return `${at} must have at least ${issue.minimum}${issue.origin === 'string' ? ' characters' : ''}`;
    case 'too_big':
      return `${at} must have at most ${issue.maximum}${issue.origin === 'string' ? ' characters' : ''}`;
    default:
      return `${at} ${issue.message}`;
  }
}
