/**
 * Where notices go, as the configuration says. The files that it names are read here, once for each load.
 * SECURITY: whoever has the URL of an incoming webhook can post there, so it comes from a private file and is kept as a Secret.
 */

import { readNoticeUrl } from '../config/notice-reader.ts';
import type { Config } from '../config/schema.ts';
import { readSignatureKey } from '../crypto/body-signature.ts';
import { readPrivateFile } from '../crypto/private-file.ts';
import { AlterError } from '../domain/errors.ts';
import type { HttpsRequest } from '../domain/https-call.ts';
import { Secret } from '../domain/secret.ts';
import { alarmMessage, alarmRequest } from './alarm-message.ts';
import type { Notice } from './notice.ts';
import { slackMessage } from './slack-message.ts';
import { type NoticeRequest, webhookRequest } from './webhook-request.ts';

export interface NoticeTarget {
  readonly name: 'webhook' | 'slack';
  readonly host: string;
  /** Made for each attempt anew. */
  readonly request: (notice: Notice, now: number) => HttpsRequest;
}

/** @throws AlterError invalid_input when a file can't be used */
export function noticeTargets({
  webhookUrl,
  webhookKeyFile,
  slackWebhookFile,
  webhookPrivate,
}: Config['approvals']): NoticeTarget[] {
  const targets: NoticeTarget[] = [];
  if (webhookUrl !== null && webhookKeyFile !== null) {
    const key = readNamed('approvals.webhook_key_file', () => readSignatureKey(webhookKeyFile));
    targets.push(
      targetOf('webhook', new Secret(webhookUrl), webhookPrivate, (notice, now) =>
        notice.about === 'alarm' ? alarmRequest(key, notice.alarm, now) : webhookRequest(key, notice.approval, now),
      ),
    );
  }
  if (slackWebhookFile !== null) {
    const url = readNamed('approvals.slack_webhook_file', () => readUrl(slackWebhookFile));
    targets.push(targetOf('slack', url, webhookPrivate, slackRequest));
  }
  return targets;
}

const slackRequest = (notice: Notice): NoticeRequest => ({
  headers: { 'content-type': 'application/json' },
  body: Buffer.from(JSON.stringify(notice.about === 'alarm' ? alarmMessage(notice.alarm) : slackMessage(notice.approval))),
});

function targetOf(
  name: NoticeTarget['name'],
  url: Secret,
  allowPrivate: boolean,
  make: (notice: Notice, now: number) => NoticeRequest,
): NoticeTarget {
  return {
    name,
    host: new URL(url.reveal()).host,
    request: (notice, now) => ({
      method: 'POST',
      url: url.reveal(),
      ...make(notice, now),
      allowPrivate,
      allowLoopbackHttp: true,
    }),
  };
}

function readUrl(file: string): Secret {
  const bytes = readPrivateFile(file);
  if (bytes === undefined) throw new Error(`${file} is not there`);
  const reading = readNoticeUrl(bytes.toString('utf8').trim());
  if ('problem' in reading) throw new Error(`what ${file} holds ${reading.problem}`);
  return new Secret(reading.value);
}

function readNamed<T>(key: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw new AlterError('invalid_input', { problems: [`${key}: ${(cause as Error).message}`] }, { cause });
  }
}
