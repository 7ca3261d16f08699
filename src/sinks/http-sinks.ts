/**
 * Rows by POST: to an OpenTelemetry collector, or signed to a webhook. Only a 2xx counts; everything else is sent again.
 * SECURITY: the key and the headers are read from private files, stay in this thread, and no error ever quotes an answer.
 */
import type { KeyObject } from 'node:crypto';
import { hostname } from 'node:os';
import type { HttpSinkConfig } from '../config/sink.ts';
import { readSignatureKey, signatureOf } from '../crypto/body-signature.ts';
import { readPrivateFile } from '../crypto/private-file.ts';
import { otlpRequest } from './otlp-format.ts';
import type { HttpAnswer, Outbound } from './outbound.ts';
import { type Complaint, type Sink, type SinkItem, TooMuchAtOnce } from './sink.ts';

const HEADER = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x20-\x7e]*)$/;

/** @throws Error, AlterError vault_unavailable when a file can't be used */
export function httpSink(config: HttpSinkConfig, outbound: Outbound): Sink {
  const extra = config.headersFile === null ? {} : readHeaders(config.headersFile);
  const key = config.secretFile === null ? null : readSignatureKey(config.secretFile);
  const post = async (body: Buffer, headers: Readonly<Record<string, string>>): Promise<HttpAnswer> => {
    const all = { 'user-agent': 'alterd', ...extra, 'content-type': 'application/json', ...headers };
    const answer = await outbound.post(config.destination, config.allowPrivate, config.target, all, body);
    if (answer.status === 413) throw new TooMuchAtOnce('the receiver takes less at once (413)');
    if (answer.status < 200 || answer.status > 299) throw new Error(`the receiver answered ${answer.status}`);
    return answer;
  };
  if (config.kind === 'otlp') {
    return {
      deliver: async (items) => complaintOf(await post(jsonOf(otlpRequest(items, hostname(), Date.now())), {})),
      close: () => {},
    };
  }
  return {
    deliver: async (items) => {
      const body = webhookBody(items);
      const now = Date.now();
      await post(body, {
        'Alter-Delivery': `${config.name}-${items[0]?.n ?? 0}-${items.at(-1)?.n ?? 0}`,
        'Alter-Signature': signatureOf(key as KeyObject, body, now),
      });
      return null;
    },
    close: () => {},
  };
}

const jsonOf = (value: object): Buffer => Buffer.from(JSON.stringify(value));

/** The lines go out as they are, so that a receiver can check their hashes. */
function webhookBody(items: readonly SinkItem[]): Buffer {
  const linesOf = (kind: SinkItem['kind']): string =>
    items
      .filter((item) => item.kind === kind)
      .map(({ line }) => line)
      .join(',\n');
  return Buffer.from(`{"rows":[${linesOf('row')}],"checkpoints":[${linesOf('checkpoint')}]}`, 'latin1');
}

/** A collector may take a part and say so; what it rejected must not be sent again, but the operator has to know. */
function complaintOf({ body }: HttpAnswer): Complaint {
  let rejected: unknown;
  try {
    const answer = JSON.parse(body === '' ? '{}' : body) as { partialSuccess?: { rejectedLogRecords?: unknown } };
    rejected = answer.partialSuccess?.rejectedLogRecords;
  } catch {
    return null;
  }
  return Number(rejected ?? 0) > 0 ? 'the collector rejected some of the records' : null;
}

function readHeaders(file: string): Record<string, string> {
  const bytes = readPrivateFile(file);
  if (bytes === undefined) throw new Error(`${file} is not there`);
  const headers: Record<string, string> = {};
  for (const [index, line] of bytes.toString('utf8').split(/\r?\n/).entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue;
    const match = HEADER.exec(line);
    if (match === null) throw new Error(`${file}: line ${index + 1} is no header`);
    headers[(match[1] as string).toLowerCase()] = match[2] as string;
  }
  return headers;
}
