/**
 * Reading what a host sent: the bytes of the body, counted while they arrive, and their shape by a schema with every problem told.
 * SECURITY: bodies carry tokens and audit rows, so no message quotes what was sent.
 */
import type { IncomingMessage } from 'node:http';
import type { z } from 'zod';
import { AlterError } from '../domain/errors.ts';

const BODY_MAX_BYTES = 1024 * 1024;

/** @throws AlterError request_too_large, malformed_request when the connection ended within the body */
export async function readBytes(request: IncomingMessage, maxBytes = BODY_MAX_BYTES): Promise<Buffer> {
  const parts: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const part of request) {
      bytes += (part as Buffer).length;
      if (bytes > maxBytes) throw new AlterError('request_too_large', { reason: `the body has more than ${maxBytes} bytes` });
      parts.push(part as Buffer);
    }
  } catch (cause) {
    if (cause instanceof AlterError) throw cause;
    throw new AlterError('malformed_request', { reason: 'the body was cut off' }, { cause });
  }
  return parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
}

/** @throws AlterError malformed_request, invalid_input */
export function parseBody(schema: z.ZodType | undefined, bytes: Buffer): unknown {
  if (schema === undefined) {
    if (bytes.length > 0) throw new AlterError('malformed_request', { reason: 'there must be no body' });
    return undefined;
  }
  let raw: unknown;
  try {
    raw = JSON.parse(bytes.toString('utf8'));
  } catch {
    // SECURITY: the parser's own message quotes the body.
    throw new AlterError('malformed_request', { reason: 'the body is not valid JSON' });
  }
  return checked(schema, raw, 'the body');
}

/** @throws AlterError invalid_input */
export function parseQuery(schema: z.ZodType | undefined, query: URLSearchParams): unknown {
  if (schema === undefined && query.size === 0) return undefined;
  const raw: Record<string, string> = {};
  for (const [name, value] of query) {
    if (Object.hasOwn(raw, name)) throw new AlterError('invalid_input', { problems: [`${name} is given more than once`] });
    raw[name] = value;
  }
  if (schema === undefined)
    throw new AlterError('invalid_input', {
      problems: Object.keys(raw).map((name) => `unknown query parameter ${JSON.stringify(name.slice(0, 64))}`),
    });
  return checked(schema, raw, 'the query');
}

function checked(schema: z.ZodType, raw: unknown, whole: string): unknown {
  const result = schema.safeParse(raw);
  if (result.success) return result.data;
  const problems = result.error.issues.map((issue) => {
    const at = issue.path.length === 0 ? whole : issue.path.map(String).join('.');
    return issue.code === 'unrecognized_keys' ? `${at}: unknown keys` : `${at}: ${reasonOf(issue)}`;
  });
  throw new AlterError('invalid_input', { problems });
}

const reasonOf = (issue: z.core.$ZodIssue): string =>
  issue.code === 'custom' || issue.code === 'invalid_format'
    ? issue.message
    : `is missing or not as it must be (${issue.code.replaceAll('_', ' ')})`;
