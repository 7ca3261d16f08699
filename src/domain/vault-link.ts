/** How a host gets on with its central vault, for people and metrics. Types only. */
export interface VaultLinkStatus {
  readonly url: string;
  /** `streaming`: changes come at once · `polling`: the stream was lost, it asks every second · `away`: no answer · `ended`: paused or revoked there. */
  readonly state: 'streaming' | 'polling' | 'away' | 'ended';
  /** Since when. Epoch milliseconds. */
  readonly since: number;
  /** When the vault answered last; null: not since the start. */
  readonly answeredAt: number | null;
  /** Why it is not streaming; null when it is. */
  readonly reason: string | null;
  readonly epoch: number;
  readonly leaseLeftMs: number;
  /** Grants whose material is lent. */
  readonly held: number;
  /** Of limits that all hosts share: requests that may pass without asking, and those drawn since the start. */
  readonly quotas: { readonly inHand: number; readonly drawn: number };
  /** Since the start. */
  readonly streamsLost: number;
  readonly polls: number;
}
