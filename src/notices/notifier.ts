/**
 * Tells the operator's receivers when an approval begins to wait, when it is over, and when there is an alarm. It hears of approvals; it can never
 * decide one.
 */
import type { Approval, ApprovalStatus } from '../domain/approval.ts';
import type { HttpsCall } from '../domain/https-call.ts';
import type { NoticeStatus } from '../domain/notice-status.ts';
import type { PlaceholderAlarm } from '../domain/placeholder-alarm.ts';
import type { Notice } from './notice.ts';
import { type OnTrouble, Outbox } from './outbox.ts';
import type { NoticeTarget } from './targets.ts';

const TOLD: ReadonlySet<ApprovalStatus> = new Set<ApprovalStatus>(['pending', 'approved', 'denied', 'expired', 'cancelled']);
/** More than there can be approvals at once. */
const REMEMBERED = 4_096;

export class Notifier {
  readonly #call: HttpsCall;
  readonly #onTrouble: OnTrouble;
  readonly #outboxes = new Map<string, Outbox>();
  /** The last status that was told of each. */
  readonly #told = new Map<string, ApprovalStatus>();

  constructor(call: HttpsCall, onTrouble: OnTrouble) {
    this.#call = call;
    this.#onTrouble = onTrouble;
  }

  get status(): readonly NoticeStatus[] {
    return [...this.#outboxes.values()].map((outbox) => outbox.status);
  }

  /** What waits for a receiver that stays is posted to it as it is now. */
  replace(targets: readonly NoticeTarget[]): void {
    for (const [name, outbox] of this.#outboxes) {
      if (targets.some((target) => target.name === name)) continue;
      outbox.close();
      this.#outboxes.delete(name);
    }
    for (const target of targets) {
      const outbox = this.#outboxes.get(target.name);
      if (outbox === undefined) this.#outboxes.set(target.name, new Outbox(target, this.#call, this.#onTrouble));
      else outbox.target = target;
    }
  }

  /** Takes a change of an approval. Returns at once, never throws. */
  notice(approval: Approval): void {
    const { id, status } = approval;
    if (this.#outboxes.size === 0 || !TOLD.has(status) || this.#told.get(id) === status) return;
    this.#told.delete(id);
    this.#told.set(id, status);
    if (this.#told.size > REMEMBERED) this.#told.delete(this.#told.keys().next().value as string);
    this.#push({ about: 'approval', approval });
  }

  /** Returns at once, never throws. */
  alarm(alarm: PlaceholderAlarm): void {
    this.#push({ about: 'alarm', alarm });
  }

  #push(notice: Notice): void {
    for (const outbox of this.#outboxes.values()) outbox.push(notice);
  }

  close(): void {
    for (const outbox of this.#outboxes.values()) outbox.close();
  }
}
