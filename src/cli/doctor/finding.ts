/** What `alterd doctor` found out about one thing. */

/** `exposed`: it works, but does not protect as it could. `skipped`: not here, or nothing to try it with. */
export type FindingStatus = 'ok' | 'exposed' | 'failed' | 'skipped';

export interface Finding {
  readonly check: string;
  readonly status: FindingStatus;
  readonly detail: string;
  /** The one line that mends it. */
  readonly fix: string | null;
}

export const ok = (check: string, detail: string): Finding => ({ check, status: 'ok', detail, fix: null });
export const failed = (check: string, detail: string, fix: string): Finding => ({ check, status: 'failed', detail, fix });
export const exposed = (check: string, detail: string, fix: string): Finding => ({ check, status: 'exposed', detail, fix });
export const skipped = (check: string, detail: string, fix: string | null = null): Finding => ({
  check,
  status: 'skipped',
  detail,
  fix,
});
