/** What receivers are told: a step of an approval, or an alarm. */
import type { Approval } from '../domain/approval.ts';
import type { PlaceholderAlarm } from '../domain/placeholder-alarm.ts';

export type Notice =
  | { readonly about: 'approval'; readonly approval: Approval }
  | { readonly about: 'alarm'; readonly alarm: PlaceholderAlarm };
