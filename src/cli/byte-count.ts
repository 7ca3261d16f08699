/** Sizes as people write them: `16KiB`, `1MiB`, or a bare number of bytes. */
import { AlterError } from '../domain/errors.ts';

const UNIT_BYTES: Readonly<Record<string, number>> = { '': 1, B: 1, KIB: 1024, MIB: 1024 * 1024 };

/** Bytes. KB and MB are refused: nobody can tell a thousand from 1024. @throws AlterError invalid_input */
export function parseBytes(text: string, what: string): number {
  const parts = /^(\d{1,9})(B|KiB|MiB)?$/i.exec(text);
  const unit = UNIT_BYTES[(parts?.[2] ?? '').toUpperCase()];
  if (parts === null || unit === undefined)
    throw new AlterError('invalid_input', { problems: [`${what} is written like 65536 or 64KiB, not ${JSON.stringify(text)}`] });
  return Number(parts[1]) * unit;
}
