/**
 * What is remembered of the placeholder of a grant that is gone: enough to know it again, never the placeholder itself. A hash, so that whoever
 * reads the vault's database can't send one.
 */
import { createHash } from 'node:crypto';

export interface RetiredPlaceholder {
  /** Of `placeholderHash`. */
  readonly hash: string;
  /** How long it was: what has another length is not worth hashing. */
  readonly length: number;
  readonly grantId: string;
  readonly grantLabel: string;
  readonly providerId: string;
  /** When its grant was removed, in epoch milliseconds. */
  readonly retiredAt: number;
}

export const placeholderHash = (placeholder: string): string => createHash('sha256').update(placeholder).digest('base64url');
