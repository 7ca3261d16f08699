/** The messages of the fleet API as schemas: what the listener checks and what the OpenAPI document is written from. */
import { z } from 'zod';
import { verifyingKey } from '../crypto/request-signing.ts';

const POINT = /^[A-Za-z0-9_-]{87}$/;

/** Unknown members are left out rather than refused: a host may be newer than its vault. */
const signingKey = z
  .string()
  .refine((text) => verifyingKey(text) !== undefined, 'must be a raw Ed25519 public key, base64url')
  .meta({ description: 'Raw Ed25519 public key (32 bytes), base64url.' });
const sealingKey = z
  .string()
  .regex(POINT, 'must be an uncompressed point of P-256, base64url')
  .meta({ description: 'Uncompressed point of P-256 (65 bytes), base64url: what secrets are sealed to.' });
const capabilities = z
  .array(z.string().min(1).max(64))
  .max(256)
  .meta({ description: "Names of the rules that the host's daemon is able to enforce." });
const version = z.string().min(1).max(64).meta({ description: "The daemon's version." });
const epoch = z.number().int().min(0).meta({ description: 'Rises with each change of the vault.' });
const instant = z.number().int().min(0).meta({ description: 'Epoch milliseconds.' });
const id = z.string().min(1).max(64);

export const enrollRequest = z.object({
  token: z.string().min(1).max(128).meta({ description: 'From `alterd vault host invite`; good once.' }),
  signing_key: signingKey,
  sealing_key: sealingKey,
  capabilities,
  version,
});

export const enrollAnswer = z.object({ host_id: id, host_name: z.string(), vault_id: id, epoch });

export const keysRequest = z.object({ signing_key: signingKey, sealing_key: sealingKey, capabilities, version });

export const bundleAnswer = z.object({ vault_id: id, host_id: id, epoch, issued_at: instant });

export const healthAnswer = z.object({ status: z.literal('ok') });

export const readyAnswer = z.object({
  status: z.enum(['ready', 'unready']),
  epoch,
  database: z.enum(['ok', 'unreachable']),
});

/** RFC 9457, with the members that each code adds. */
export const problem = z.looseObject({
  type: z.string().meta({ description: '`urn:alter:error:` and the code.' }),
  title: z.string(),
  status: z.number().int(),
  detail: z.string(),
  error: z.string().meta({ description: 'The code; decide by it, not by the text.' }),
  hint: z.string().optional(),
});
