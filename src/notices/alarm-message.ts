/**
 * An alarm for the operator's receivers: what alterd saw, and where to look. Pure. Nothing of it is the agent's own words but the name of the host
 * that it asked for; nothing in it can decide anything.
 */
import type { KeyObject } from 'node:crypto';
import { alarmAction, type PlaceholderAlarm } from '../domain/placeholder-alarm.ts';
import { MAX_NAME, plain, type SlackMessage, shown } from './slack-message.ts';
import { type NoticeRequest, signedNotice } from './webhook-request.ts';

const TITLES: Readonly<Record<PlaceholderAlarm['why'], string>> = {
  revoked: 'A retired placeholder was used',
  expired: 'A retired placeholder was used',
  removed: 'A retired placeholder was used',
  foreign: "The placeholder of another agent's grant was used",
};

/** What a person types to see the row. */
const commandFor = ({ why, requestId }: PlaceholderAlarm): string =>
  requestId === '' ? `alterd audit list --action ${alarmAction(why)}` : `alterd audit show ${requestId}`;

export function alarmRequest(key: KeyObject, a: PlaceholderAlarm, now: number): NoticeRequest {
  const event = alarmAction(a.why);
  return signedNotice(key, now, `${a.requestId === '' ? `${a.grantId}-${a.at}` : a.requestId}-${event}`, {
    event,
    sent_at: new Date(now).toISOString(),
    command: commandFor(a),
    alarm: {
      request_id: a.requestId === '' ? null : a.requestId,
      at: new Date(a.at).toISOString(),
      why: a.why,
      agent: a.agent,
      user_id: a.userId,
      grant_id: a.grantId,
      grant_label: a.grantLabel === '' ? null : a.grantLabel,
      provider: a.providerId,
      retired_at: a.retiredAt === null ? null : new Date(a.retiredAt).toISOString(),
      host: a.host,
      uses: a.uses,
    },
  });
}

export function alarmMessage(a: PlaceholderAlarm): SlackMessage {
  const title = TITLES[a.why];
  const grant = a.grantLabel === '' ? a.grantId : `${shown(a.grantLabel, MAX_NAME)} (${a.grantId})`;
  const seen = [
    `Agent: ${shown(a.agent, MAX_NAME)}`,
    `Grant: ${grant} of ${shown(a.providerId, MAX_NAME)}${a.why === 'foreign' ? '' : `, ${a.why}`}`,
    ...(a.retiredAt === null ? [] : [`Since: ${new Date(a.retiredAt).toISOString()}`]),
    `Host: ${shown(a.host)}`,
    ...(a.uses > 1 ? [`Uses since the last alarm: ${a.uses}`] : []),
    'It was refused. Who uses it has it from somewhere.',
  ];
  return {
    text: `${title}. ${commandFor(a)}`,
    mrkdwn: false,
    unfurl_links: false,
    unfurl_media: false,
    blocks: [
      { type: 'header', text: plain(title) },
      { type: 'section', text: plain(seen.join('\n')) },
      { type: 'context', elements: [plain(`Look where alterd runs: ${commandFor(a)}`)] },
    ],
  };
}
