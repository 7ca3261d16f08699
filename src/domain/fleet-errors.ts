/** The part of the error table that is about hosts, their central vault, and moving what is in a vault. Types and texts only. */
import type { ErrorSpec } from './error-spec.ts';

const spec = <D extends object>(s: ErrorSpec<D>): ErrorSpec<D> => s;
const quote = (s: string): string => JSON.stringify(s);

export const FLEET_ERRORS = {
  /** A host's call to a central vault. Deliberately alike for hosts that are not known and for signatures that are wrong. */
  host_unauthenticated: spec<{ host_error: 'unsigned' | 'signature' | 'replayed' }>({
    sdkName: 'InvalidKeyError',
    proxyStatus: 503,
    apiStatus: 401,
    title: 'Host not authenticated',
    detail: (d) =>
      ({
        unsigned: 'The request is not signed as a host signs.',
        signature: 'The vault knows no such host, or the signature is not one of its key for this request.',
        replayed: 'The request was made before: its nonce is used.',
      })[d.host_error],
    hint: (d) =>
      d.host_error === 'replayed'
        ? 'Sign each request anew; nothing was done for this one.'
        : 'Enroll the host: `alterd vault host invite NAME` at the vault, then `alterd enroll` on the host.',
  }),
  clock_skewed: spec<{ skew_ms: number; allowed_ms: number }>({
    sdkName: 'InvalidKeyError',
    proxyStatus: 503,
    apiStatus: 401,
    title: 'Clocks too far apart',
    detail: (d) =>
      `The host's clock is ${Math.abs(d.skew_ms) / 1000} s ${d.skew_ms > 0 ? 'ahead of' : 'behind'} the vault's; ${d.allowed_ms / 1000} s are allowed.`,
    hint: () => "Set the host's clock, for example `timedatectl set-ntp true`, then try again.",
  }),
  host_inactive: spec<{ host: string; host_status: string }>({
    sdkName: 'KeyRevokedError',
    proxyStatus: 403,
    apiStatus: 403,
    title: 'Host not active',
    detail: (d) => `The host ${quote(d.host)} is ${d.host_status} at the vault.`,
    hint: (d) =>
      d.host_status === 'paused'
        ? `An operator lets it work again at the vault: \`alterd vault host resume ${d.host}\`.`
        : `It stays so; a machine that is to come back is invited anew: \`alterd vault host invite NAME\`.`,
  }),
  enrolment_refused: spec<{ enrolment_error: 'unknown' | 'used' | 'expired'; host?: string }>({
    sdkName: 'InvalidKeyError',
    proxyStatus: null,
    apiStatus: 403,
    title: 'Not enrolled',
    detail: (d) =>
      ({
        unknown: 'The vault knows no such enrolment token.',
        used: 'The enrolment token was used already, with other keys.',
        expired: 'The enrolment token has expired.',
      })[d.enrolment_error],
    hint: (d) =>
      d.enrolment_error === 'unknown'
        ? 'Copy it anew, or get another at the vault: `alterd vault host invite NAME`.'
        : `Get another at the vault: \`alterd vault host rekey ${d.host ?? 'NAME'}\`. If nobody enrolled it on purpose, revoke it: \`alterd vault host revoke ${d.host ?? 'NAME'}\`.`,
  }),
  vault_untrusted: spec<{ url: string; reason: string }>({
    sdkName: 'NetworkError',
    proxyStatus: 503,
    apiStatus: 503,
    title: 'Vault not trusted',
    detail: (d) => `${d.url} is not the vault that this host trusts: ${d.reason}. Nothing was sent.`,
    hint: () => 'Compare the fingerprint with the one that `alterd vault host invite NAME` prints at the vault.',
  }),
  /** A file that a passphrase opens. */
  sealed_file_refused: spec<{
    file_problem: 'not_a_file' | 'truncated' | 'altered' | 'passphrase' | 'newer_format';
    reason: string;
  }>({
    sdkName: 'AlterValueError',
    proxyStatus: null,
    apiStatus: 422,
    title: 'File not opened',
    detail: (d) => `The sealed file can't be opened: ${d.reason}. Nothing was changed.`,
    hint: (d) =>
      ({
        not_a_file: 'Name a file that `alterd export` has written.',
        truncated: 'Copy it anew: its end is missing.',
        altered: 'Copy it anew from where it was made; what is in it now can not be trusted.',
        passphrase: 'Try again with the passphrase that was given to `alterd export`; without it the file stays closed for good.',
        newer_format: 'Bring this alterd up to the version that made the file: `alterd --version`.',
      })[d.file_problem],
  }),
  import_conflict: spec<{ problems: readonly string[] }>({
    sdkName: 'ConflictError',
    proxyStatus: null,
    apiStatus: 409,
    title: 'Not imported',
    detail: (d) => `${d.problems.length} of the things in the file are different here: ${d.problems.join('; ')}.`,
    hint: () =>
      'Nothing was changed. Remove here what is named (`alterd agent remove NAME`, `alterd secret remove NAME`), or at the source, and export again; then look: `alterd import FILE --dry-run`.',
  }),
} as const satisfies Record<string, ErrorSpec<never>>;
