/**
 * Readers for the notices of [approvals]: where they are posted to.
 * SECURITY: no problem ever repeats the URL, which may hold a password or be a secret as a whole.
 */
import { isLoopbackName } from './connect-reader.ts';
import type { Reader, Reading } from './reader.ts';

/** A URL that notices may be posted to: https, or http on this machine. */
export function readNoticeUrl(text: string): Reading<string> {
  const problem = { problem: 'must be a URL such as "https://hooks.example.test/approvals", without user and password' };
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return problem;
  }
  if (!/^https?:$/.test(url.protocol) || url.username !== '' || url.password !== '' || /\s/.test(text)) return problem;
  // SECURITY: over http anyone on the way reads what agents ask for, and can make up notices.
  if (url.protocol === 'http:' && !isLoopbackName(url.hostname))
    return { problem: 'must be https: http only leads to this machine (http://127.0.0.1:PORT/…)' };
  url.hash = '';
  return { value: url.href };
}

/** "" means none. */
export const noticeUrl: Reader<string | null> = {
  read: (raw) => (raw === '' ? { value: null } : readNoticeUrl(typeof raw === 'string' ? raw : '')),
  fromText: (text) => text,
};

interface NoticeValues {
  readonly url: string | null;
  readonly keyFile: string | null;
  readonly slackFile: string | null;
  readonly isPrivate: boolean;
}

type NoticePath = 'approvals.webhook_url' | 'approvals.webhook_key_file' | 'approvals.webhook_private';

/** Problems that no single key shows. */
export function noticeProblems({ url, keyFile, slackFile, isPrivate }: NoticeValues): { path: NoticePath; problem: string }[] {
  const found: { path: NoticePath; problem: string }[] = [];
  // SECURITY: without a signature anybody who finds the receiver could make up notices.
  if (url !== null && keyFile === null)
    found.push({ path: 'approvals.webhook_url', problem: 'needs approvals.webhook_key_file, the key that signs' });
  if (url === null && keyFile !== null)
    found.push({ path: 'approvals.webhook_key_file', problem: 'has no meaning without approvals.webhook_url' });
  if (url?.startsWith('http:') && !isPrivate)
    found.push({ path: 'approvals.webhook_url', problem: 'leads to this machine: say approvals.webhook_private = true' });
  if (isPrivate && url === null && slackFile === null)
    found.push({ path: 'approvals.webhook_private', problem: 'has no meaning without a webhook' });
  return found;
}
