/**
 * One approval for people: what alterd saw of the request first, then what the agent says, marked as such. Every text that an agent
 * chose is escaped and cut, so that it can't draw a card of its own (S-96). Pure.
 */
import type { ApprovalView } from '../api/approvals.ts';
import { agentText } from '../domain/agent-text.ts';

const MAX_PREVIEW_LINES = 12;

export function cardLines(a: ApprovalView): string[] {
  const target = `${a.method} ${a.origin}${a.path === null ? '' : agentText(a.path)}`;
  const keys = a.query_keys.length === 0 ? '' : ` ?${a.query_keys.map((key) => agentText(key, 40)).join('&')}`;
  const body =
    a.body_bytes === 0
      ? 'no body'
      : `${a.body_bytes} bytes${a.content_type === null ? '' : `, ${agentText(a.content_type, 60)}`}`;
  const who = [a.uid === null ? null : `uid ${a.uid}`, a.pid === null ? null : `pid ${a.pid}`, a.executable].filter(
    (part) => part !== null,
  );
  const { reason, run_id, tool } = a.agent_says;
  const says = [
    reason === null ? null : `reason ${agentText(reason)}`,
    run_id === null ? null : `run ${agentText(run_id, 60)}`,
    tool === null ? null : `tool ${agentText(tool, 60)}`,
  ].filter((part) => part !== null);
  return [
    `${a.id}  ${a.status}${a.decided_by === null ? '' : ` by ${a.decided_by}`}`,
    `  request   ${target}${keys}`,
    `  body      ${body}${a.body_sha256 === null ? '' : `, sha256 ${a.body_sha256.slice(0, 16)}…`}`,
    `  agent     ${a.agent}${a.session_id === null ? '' : ' (session)'}${who.length === 0 ? '' : `, ${who.map((part) => agentText(part)).join(', ')}`}`,
    ...(a.user_id === null ? [] : [`  for       ${agentText(a.user ?? a.user_id, 60)}`]),
    `  with      ${a.grant_id === null ? 'no grant: a host that nobody configured' : `${a.credential ?? ''} of ${a.provider ?? ''}, grant ${a.grant_label ?? a.grant_id}`}`,
    `  rule      ${a.rule}`,
    `  until     ${a.expires_at}${a.waiting > 0 ? `, ${a.waiting} waiting now` : ''}`,
    ...(says.length === 0 ? [] : [`  the agent says: ${says.join('; ')}`]),
    ...previewLines(a.body_preview),
  ];
}

function previewLines(preview: string | null): string[] {
  if (preview === null) return [];
  const lines = preview.split(/\r\n|\r|\n/);
  const shown = lines.slice(0, MAX_PREVIEW_LINES).map((line) => `  | ${agentText(line)}`);
  return [
    '  the agent sends:',
    ...shown,
    ...(lines.length > MAX_PREVIEW_LINES ? [`  | … ${lines.length - MAX_PREVIEW_LINES} more lines`] : []),
  ];
}
