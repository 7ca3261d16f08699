/**
 * A notice of an approval as a message for Slack and what is compatible with it. Pure.
 * SECURITY: an agent chooses words that people read here. They are `plain_text`, escaped, cut, marked as the agent's and never a link, so that they
 * can't call a channel, format themselves as alterd's words, or lead anywhere. The message has no power: nothing in it approves.
 */
import { agentText } from '../domain/agent-text.ts';
import type { Approval } from '../domain/approval.ts';
import { commandOf } from './webhook-request.ts';

interface PlainText {
  readonly type: 'plain_text';
  readonly text: string;
  readonly emoji: false;
}

type Block =
  | { readonly type: 'header' | 'section'; readonly text: PlainText }
  | { readonly type: 'context'; readonly elements: readonly PlainText[] };

export interface SlackMessage {
  /** What is shown where blocks are not; nothing of the agent's own words. */
  readonly text: string;
  readonly mrkdwn: false;
  readonly unfurl_links: false;
  readonly unfurl_media: false;
  readonly blocks: readonly Block[];
}

export const MAX_NAME = 64;
const MAX_KEYS = 120;

const TITLES: Readonly<Record<string, string>> = {
  pending: 'An agent waits for an approval',
  approved: 'Approved',
  denied: 'Denied',
  cancelled: 'The agent gave up',
};

export function slackMessage(a: Approval): SlackMessage {
  const title = TITLES[a.status] ?? (a.decidedBy === null ? 'Nobody decided in time' : 'Approved, but never used');
  const name = shown(a.agent, MAX_NAME);
  const seen = [
    `Agent: ${name}`,
    ...(a.userId === null ? [] : [`For: ${shown(a.user ?? a.userId, MAX_NAME)}`]),
    `Request: ${shown(a.method, 40)} ${shown(a.origin)}${a.bodyBytes === 0 ? '' : `, ${a.bodyBytes} bytes`}`,
    a.grantId === null
      ? 'Grant: none, a host that nobody configured'
      : `Grant: ${shown(a.grantLabel ?? a.grantId, MAX_NAME)}, with ${shown(a.credential ?? '', MAX_NAME)}`,
    `Rule: ${shown(a.rule, MAX_NAME)}`,
    ...(a.decidedBy === null ? [] : [`By: ${shown(a.decidedBy)}`]),
    ...(a.status === 'pending' ? [`Until: ${new Date(a.expiresAt).toISOString()}`] : []),
  ];
  const said = wordsOf(a);
  return {
    text: `${title}: ${name.replace(/[*_~`@]/g, '-')}. ${commandOf(a)}`,
    mrkdwn: false,
    unfurl_links: false,
    unfurl_media: false,
    blocks: [
      { type: 'header', text: plain(title) },
      { type: 'section', text: plain(seen.join('\n')) },
      ...(said.length === 0
        ? []
        : [{ type: 'section' as const, text: plain(`In the agent's words, which nobody checked:\n${said.join('\n')}`) }]),
      {
        type: 'context',
        elements: [plain(`${a.status === 'pending' ? 'Look and decide' : 'Look'} where alterd runs: ${commandOf(a)}`)],
      },
    ],
  };
}

function wordsOf({ path, queryKeys, agentSays: { reason, runId, tool } }: Approval): string[] {
  return [
    ...(path === null ? [] : [`> path: ${shown(path)}`]),
    ...(queryKeys.length === 0 ? [] : [`> query: ${shown(queryKeys.join(' '), MAX_KEYS)}`]),
    ...(reason === null ? [] : [`> reason: ${shown(reason)}`]),
    ...(runId === null ? [] : [`> run: ${shown(runId, MAX_NAME)}`]),
    ...(tool === null ? [] : [`> tool: ${shown(tool, MAX_NAME)}`]),
  ].map((line) => line.replace(/^> /, '\u203a '));
}

export const plain = (text: string): PlainText => ({ type: 'plain_text', text, emoji: false });

/** Cut, then escaped. A scheme is broken, because clients make links of bare addresses, and `@` may call somebody. */
export const shown = (text: string, most?: number): string =>
  agentText(text, most)
    .replace(/:\/\//g, ': //')
    .replace(/@/g, '\uff20')
    .replace(/&/g, '&amp;')
    .replace(/</g, '&lt;')
    .replace(/>/g, '&gt;');
