/**
 * The text of an enrolment token: `alter_enroll_` and 32 random base62 characters (190 bits). Good once, for a day or as long as was
 * said; only its hash is kept.
 */
import { Secret } from '../domain/secret.ts';
import { randomBase62 } from './key-text.ts';

const PREFIX = 'alter_enroll_';
const RANDOM_LENGTH = 32;

export const mintInvite = (): Secret => new Secret(PREFIX + randomBase62(RANDOM_LENGTH));

export const isInviteLike = (text: string): boolean => /^alter_enroll_[0-9A-Za-z]{32}$/.test(text);
