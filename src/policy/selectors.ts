/**
 * Selectors: what a caller says beside its request, in Alter-* headers and in the user name of its proxy URL. They pick among
 * the grants that the agent already has and annotate the audit row. Must never give access, and never guess: an illegal or
 * contradicting selector refuses the request, since ignoring it could pick another account.
 */
import { AlterError } from '../domain/errors.ts';
import { NO_SELECTORS, type Selectors } from '../domain/selectors.ts';

/** The user name of the proxy credentials, read. */
export interface ProxyLabel {
  /** What is no selector: free attribution for the audit row. */
  readonly text: string;
  readonly grantId: string | null;
  readonly label: string | null;
  readonly account: string | null;
  readonly runId: string | null;
  readonly threadId: string | null;
}

export const NO_PROXY_LABEL: ProxyLabel = { text: '', grantId: null, label: null, account: null, runId: null, threadId: null };

const MAX_VALUE_BYTES = 512;
const MAX_LABEL_CHARACTERS = 256;

const malformed = (reason: string): AlterError => new AlterError('malformed_request', { reason });

/** True for every header name of ours, known or not: none of them is ever forwarded. */
export const isSelectorHeader = (lowerName: string): boolean =>
  lowerName.startsWith('alter-') || lowerName.startsWith('x-alter-');

type Field = keyof Selectors;

const HEADER_FIELDS: ReadonlyMap<string, Field> = new Map([
  ['grant-id', 'grantId'],
  ['label', 'label'],
  ['account', 'account'],
  ['reason', 'reason'],
  ['run-id', 'runId'],
  ['thread-id', 'threadId'],
  ['tool', 'tool'],
]);

const LABEL_FIELDS: ReadonlyMap<string, Exclude<keyof ProxyLabel, 'text'>> = new Map([
  ['grant', 'grantId'],
  ['label', 'label'],
  ['account', 'account'],
  ['run', 'runId'],
  ['thread', 'threadId'],
]);

/** 1 to 512 printable ASCII characters. */
function isLegalValue(value: string): boolean {
  if (value === '' || value.length > MAX_VALUE_BYTES) return false;
  for (let i = 0; i < value.length; i++) {
    const c = value.charCodeAt(i);
    if (c < 0x20 || c > 0x7e) return false;
  }
  return true;
}

const LOWER_A = 0x61;
const LOWER_X = 0x78;

/** Length of the prefix of ours, 0 when the name is another's. The first character decides for nearly every name. */
function prefixLength(name: string): number {
  const first = name.charCodeAt(0) | 0x20;
  if (first === LOWER_A) return name.charCodeAt(5) === 0x2d && name.slice(0, 6).toLowerCase() === 'alter-' ? 6 : 0;
  if (first === LOWER_X) return name.charCodeAt(7) === 0x2d && name.slice(0, 8).toLowerCase() === 'x-alter-' ? 8 : 0;
  return 0;
}

/**
 * Reads the selectors of one request; a header wins over the same selector in the label, but two different grants contradict.
 * @param headers flat name/value list
 * @throws AlterError malformed_request
 */
export function parseSelectors(headers: readonly string[], label: ProxyLabel): Selectors {
  let found: Partial<Record<Field, string>> | null = null;
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] as string;
    const prefix = prefixLength(name);
    if (prefix === 0) continue;
    const field = HEADER_FIELDS.get(name.slice(prefix).toLowerCase());
    if (field === undefined) continue;
    const value = headers[i + 1] as string;
    if (!isLegalValue(value)) throw malformed(`the header ${name} must have 1 to ${MAX_VALUE_BYTES} printable ASCII characters`);
    found ??= {};
    if (found[field] !== undefined) throw malformed(`the header ${name} is there twice, or with and without X-`);
    found[field] = value;
  }
  if (found === null) return selectorsOf(label);
  if (found.grantId !== undefined && label.grantId !== null && found.grantId !== label.grantId)
    throw malformed('the header Alter-Grant-Id and the proxy user name select different grants');
  return { ...selectorsOf(label), ...found };
}

const memo = new WeakMap<ProxyLabel, Selectors>();

/** One label serves all requests of a tunnel, so its selectors are made once. */
function selectorsOf(label: ProxyLabel): Selectors {
  let selectors = memo.get(label);
  if (selectors === undefined) {
    const { grantId, account, runId, threadId } = label;
    selectors = { ...NO_SELECTORS, grantId, label: label.label, account, runId, threadId };
    memo.set(label, selectors);
  }
  return selectors;
}

/**
 * Reads a proxy user name: free text, then `+key=value` parts with the keys grant, label, account, run and thread, for example
 * `ci+label=work+run=42`. Parts of any other form stay part of the text.
 * @throws AlterError malformed_request
 */
export function parseProxyLabel(user: string): ProxyLabel {
  if (user === '') return NO_PROXY_LABEL;
  if (user.length > MAX_LABEL_CHARACTERS)
    throw malformed(`the proxy user name is longer than ${MAX_LABEL_CHARACTERS} characters`);
  if (/[\x00-\x1f\x7f-\x9f]/.test(user)) throw malformed('the proxy user name has a control character');
  const text: string[] = [];
  const found: Partial<Record<Exclude<keyof ProxyLabel, 'text'>, string>> = {};
  user.split('+').forEach((part, i) => {
    const equals = part.indexOf('=');
    const field = i === 0 || equals === -1 ? undefined : LABEL_FIELDS.get(part.slice(0, equals).toLowerCase());
    if (field === undefined) {
      text.push(part);
      return;
    }
    const value = part.slice(equals + 1);
    if (!isLegalValue(value))
      throw malformed(`${part.slice(0, equals)}= in the proxy user name must have a value in printable ASCII`);
    if (found[field] !== undefined) throw malformed(`${part.slice(0, equals)}= is in the proxy user name twice`);
    found[field] = value;
  });
  return { ...NO_PROXY_LABEL, ...found, text: text.join('+') };
}
