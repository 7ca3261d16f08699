/**
 * Selectors: what a caller may say about its request beside the request itself. They pick a grant among those the agent
 * already has and annotate the audit row; they never give access.
 */
export interface Selectors {
  readonly grantId: string | null;
  readonly label: string | null;
  readonly account: string | null;
  readonly reason: string | null;
  readonly runId: string | null;
  readonly threadId: string | null;
  readonly tool: string | null;
}

export const NO_SELECTORS: Selectors = {
  grantId: null,
  label: null,
  account: null,
  reason: null,
  runId: null,
  threadId: null,
  tool: null,
};
