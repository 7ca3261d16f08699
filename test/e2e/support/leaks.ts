/**
 * The search for leaks: every form in which a secret could be written down, looked for in texts, files and processes. A form that
 * it does not know would be missed, so its own test plants each of them.
 */
import { lstatSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Form {
  readonly name: string;
  readonly bytes: Buffer;
}

/** The part of the Base64 text that does not depend on what stands before and behind, for each of the three alignments. */
function base64Forms(secret: Buffer): Form[] {
  return [0, 1, 2].flatMap((shift) => {
    const text = Buffer.concat([Buffer.alloc(shift), secret]).toString('base64');
    const from = Math.ceil((shift * 8) / 6);
    const to = Math.floor(((shift + secret.length) * 8) / 6);
    const core = text.slice(from, to);
    const urlSafe = core.replaceAll('+', '-').replaceAll('/', '_');
    return [
      { name: `base64, shifted by ${shift}`, bytes: Buffer.from(core) },
      { name: `base64url, shifted by ${shift}`, bytes: Buffer.from(urlSafe) },
    ];
  });
}

const percentAll = (secret: Buffer): string => [...secret].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('');

/** Every rendered form of one secret, without doubles. */
export function formsOf(secret: string): Form[] {
  const bytes = Buffer.from(secret);
  const forms: Form[] = [
    { name: 'raw', bytes },
    { name: 'URL-encoded', bytes: Buffer.from(encodeURIComponent(secret)) },
    { name: 'form-encoded', bytes: Buffer.from(new URLSearchParams({ s: secret }).toString().slice(2)) },
    { name: 'URL-encoded throughout', bytes: Buffer.from(percentAll(bytes)) },
    { name: 'URL-encoded throughout, upper case', bytes: Buffer.from(percentAll(bytes).toUpperCase()) },
    { name: 'JSON', bytes: Buffer.from(JSON.stringify(secret).slice(1, -1)) },
    { name: 'hex', bytes: Buffer.from(bytes.toString('hex')) },
    { name: 'hex, upper case', bytes: Buffer.from(bytes.toString('hex').toUpperCase()) },
    { name: 'UTF-16', bytes: Buffer.from(secret, 'utf16le') },
    { name: 'reversed', bytes: Buffer.from([...secret].reverse().join('')) },
    ...base64Forms(bytes),
  ];
  return forms.filter((form, i) => forms.findIndex((other) => other.bytes.equals(form.bytes)) === i);
}

export interface Haystack {
  readonly where: string;
  readonly bytes: Buffer;
}

/** Where any form of any secret is: `daemon log: hex of SECRET`. */
export function findLeaks(secrets: Iterable<string>, haystacks: readonly Haystack[]): string[] {
  const found: string[] = [];
  for (const secret of secrets) {
    for (const { name, bytes } of formsOf(secret)) {
      for (const haystack of haystacks) if (haystack.bytes.includes(bytes)) found.push(`${haystack.where}: ${secret} as ${name}`);
    }
  }
  return found;
}

/** Every regular file below a directory, and the names themselves. */
export function filesBelow(dir: string): Haystack[] {
  const found: Haystack[] = [];
  for (const name of readdirSync(dir)) {
    const path = join(dir, name);
    found.push({ where: `the name ${path}`, bytes: Buffer.from(name) });
    const stats = lstatSync(path);
    if (stats.isDirectory()) found.push(...filesBelow(path));
    else if (stats.isFile()) found.push({ where: path, bytes: readFileSync(path) });
  }
  return found;
}

/** Arguments, environment and name of a process that runs now. */
export function processFacts(pid: number, who: string): Haystack[] {
  return ['cmdline', 'environ', 'comm'].map((name) => ({
    where: `${who}: ${name}`,
    bytes: readFileSync(`/proc/${pid}/${name}`),
  }));
}
