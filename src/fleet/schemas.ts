/** The messages of the fleet API as schemas: what the listener checks and what the OpenAPI document is written from. */
import * as z from 'zod';
import { verifyingKey } from '../crypto/request-signing.ts';

/** The journal's longest row, and what stands around it in a line. */
const MAX_LINE_CHARS = 1024 * 1024 + 1024;
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

const rowsOf = (what: string) => z.array(z.looseObject({ id })).meta({ description: what });

export const bundleAnswer = z.object({
  vault_id: id,
  host_id: id,
  host_name: z.string(),
  epoch,
  issued_at: instant,
  lease_ms: z.number().int().positive(),
  digest: z.string().meta({ description: 'Equal for equal rows, at every replica.' }),
  rows: z.object({
    agent: rowsOf('The agents, and those above them.'),
    key: rowsOf('Their keys, as hashes.'),
    credential: rowsOf('Public facts of secrets.'),
    grant: rowsOf('What the agents may use.'),
    user: rowsOf('For whom, and who may not be called for any more.'),
    delegation: rowsOf('Which agent may use which grant of a person.'),
    permit: rowsOf('What people let pass without being asked.'),
    policies: rowsOf('The policies in force: one at most.'),
  }),
});

const lent = z.object({
  grant_id: id,
  credential_id: id,
  version: z.number().int(),
  revision: z.number().int(),
  issued_at: instant,
  expires_at: instant.meta({ description: 'End of the lease; bound to what is sealed.' }),
  no_cache: z.boolean(),
  sealed: z.object({
    enc: z.string().meta({ description: 'Encapsulated key, base64url.' }),
    ciphertext: z.string().meta({ description: 'AES-256-GCM, base64url.' }),
  }),
});

export const materialsRequest = z.object({ grant_ids: z.array(id).min(1).max(100) });
export const renewRequest = z.object({ grant_id: id, version: z.number().int() });
export const renewAnswer = z.object({ material: lent.nullable() });
export const dropRequest = z.object({ agent_id: id, delegation_id: id });
export const droppedAnswer = z.object({ dropped: z.literal(true) });

export const auditRequest = z.object({
  chain: z.string().min(1).max(128).meta({ description: 'Mark of the journal; another one begins at row 1.' }),
  lines: z
    .array(z.string().max(MAX_LINE_CHARS))
    .max(1_000)
    .meta({ description: 'Rows, oldest first; each with its place, the hash before and its own.' }),
  gap: z
    .boolean()
    .meta({ description: 'Retention at the host has removed the rows between the last one kept and the first line.' }),
});
export const auditAnswer = z.object({ accepted_up_to: z.number().int().min(0) });

const counter = {
  rule: z.string().min(3).max(128).meta({ description: '`POLICY/RULE`, of a limit that all hosts share.' }),
  agent_id: id,
  grant_id: id,
};
const requests = z.number().int().min(0).max(1_000_000);
const sliceId = z
  .string()
  .min(8)
  .max(64)
  .meta({ description: 'Chosen by the host, at random. The same id again gets the same slice.' });

export const quotasRequest = z.object({
  asks: z
    .array(
      z.object({
        ...counter,
        slice_id: sliceId,
        seen: z
          .number()
          .int()
          .min(0)
          .default(0)
          .meta({ description: 'The last `version` of this counter that the host was told; 0: none.' }),
        want: requests.meta({ description: 'How many requests, at most; 0 only gives back.' }),
        settled: z
          .array(
            z.object({
              slice_id: sliceId,
              used: requests,
              idle_ms: z.number().int().min(0).meta({ description: 'How long ago it was last spent from.' }),
            }),
          )
          .max(64)
          .meta({ description: 'Slices that the host is done with: what is left of them is free again.' }),
      }),
    )
    .min(1)
    .max(100),
});
export const quotasAnswer = z.object({
  quotas: z.array(
    z.object({
      ...counter,
      slice_id: sliceId,
      count: requests.meta({ description: 'How many requests may pass; 0: none now.' }),
      valid_ms: z.number().int().min(0).meta({ description: 'For how long, from the moment at which it was asked for.' }),
      version: z.number().int().min(0).meta({ description: 'Rises with each change of the counter.' }),
      retry_ms: z.number().int().min(0).meta({ description: 'How long there is nothing more; 0: there is.' }),
    }),
  ),
  failures: z.array(z.object({ slice_id: sliceId, problem: z.looseObject({ error: z.string() }) })),
});

export const healthAnswer = z.object({ status: z.literal('ok') });

export const readyAnswer = z.object({
  status: z.enum(['ready', 'unready']),
  epoch,
  database: z.enum(['ok', 'unreachable']),
  master_key: z.enum(['ok', 'missing']),
});

export const materialsAnswer = z.object({
  materials: z.array(lent),
  failures: z.array(z.object({ grant_id: id, problem: z.looseObject({ error: z.string() }) })),
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
