/** Somebody used a placeholder that nobody has any reason to use. It never holds the placeholder: its grant says which one it was. */

/**
 * `revoked`, `expired`, `removed`: what became of its grant before the request began · `foreign`: its grant is good, and another agent's.
 */
export type PlaceholderMisuse = 'revoked' | 'expired' | 'removed' | 'foreign';

export interface PlaceholderAlarm {
  /** Of its row, which is the alarm's id too. */
  readonly requestId: string;
  readonly at: number;
  readonly why: PlaceholderMisuse;
  /** Who used it. */
  readonly agent: string;
  readonly userId: string | null;
  readonly grantId: string;
  readonly grantLabel: string;
  readonly providerId: string;
  /** Since when nobody may use it; null for one that is in use elsewhere. */
  readonly retiredAt: number | null;
  readonly host: string;
  /** Uses by this agent since the alarm before, this one included. */
  readonly uses: number;
}

/** The name of the audit event, and of the notice. */
export const alarmAction = (why: PlaceholderMisuse): 'placeholder.foreign_used' | 'placeholder.retired_used' =>
  why === 'foreign' ? 'placeholder.foreign_used' : 'placeholder.retired_used';
