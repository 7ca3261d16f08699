/** Flags of `alterd grant` that make and change grants alike, as members of a body; and the words that the API has for them. */
import { parseBytes } from './byte-count.ts';
import { parseDuration } from './duration.ts';
import type { FlagWords } from './flag-words.ts';

export const GRANT_WORDS: FlagWords = {
  credential: '--secret',
  label: '--label',
  hosts: '--host',
  methods: '--methods',
  paths: '--paths',
  operations: '--graphql or --rpc',
  approval: '--approval',
  git: '--git',
  expires_at: '--expires',
  override: '--override',
  allow_private: '--allow-private',
  allow_plaintext: '--allow-plaintext',
  pass_response_cookies: '--pass-cookies',
  no_cache: '--no-cache',
  offline_grace_ms: '--offline-grace',
  audit_bodies: '--audit-bodies',
  audit_body_bytes: '--audit-body-bytes',
  aws_region: '--aws-region',
  aws_service: '--aws-service',
};

export interface LeaseFlags {
  readonly cache?: boolean;
  readonly offlineGrace?: string;
}

export interface PinFlags {
  readonly awsRegion?: string;
  readonly awsService?: string;
}

export interface BodyFlags {
  readonly auditBodies?: string;
  readonly auditBodyBytes?: string;
}

/** commander makes `--no-cache` the negation of a flag that is true without it. */
export const leaseOf = ({ cache, offlineGrace }: LeaseFlags): object => ({
  ...(cache === false ? { no_cache: true } : {}),
  ...(offlineGrace === undefined ? {} : { offline_grace_ms: parseDuration(offlineGrace, '--offline-grace') }),
});

/** In an update, `any` takes a pin of the grant away. */
export const pinsOf = ({ awsRegion, awsService }: PinFlags, none?: string): object => ({
  ...(awsRegion === undefined ? {} : { aws_region: awsRegion === none ? null : awsRegion }),
  ...(awsService === undefined ? {} : { aws_service: awsService === none ? null : awsService }),
});

export const BODY_WORDS = ['none', 'request', 'response', 'both'];

export const bodiesOf = ({ auditBodies, auditBodyBytes }: BodyFlags): object => ({
  ...(auditBodies === undefined ? {} : { audit_bodies: auditBodies }),
  ...(auditBodyBytes === undefined ? {} : { audit_body_bytes: parseBytes(auditBodyBytes, '--audit-body-bytes') }),
});

export const OVERRIDE_WORDS = ['always', 'if-absent', 'placeholder-only'];
export const overrideOf = (word: string | undefined): string | undefined => word?.replace('-', '_');
