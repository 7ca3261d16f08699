/**
 * Region and service that a grant signs AWS requests for, narrower than its secret. Written into the grant's own injections, so that
 * whoever signs needs no other rule. Pure. Must never let a grant sign for what its secret is not for.
 */
import type { ProviderSpec } from '../config/provider.ts';
import type { Injection, SigV4Injection } from '../domain/credential.ts';
import type { CredentialRow } from '../store/rows.ts';

export interface SigningPins {
  /** Absent: as it is; null: as the secret says. */
  readonly awsRegion?: string | null | undefined;
  readonly awsService?: string | null | undefined;
}

export interface SigningOwner {
  readonly credential: CredentialRow;
  readonly provider: ProviderSpec | undefined;
}

type Pin = 'region' | 'service';

const SCOPE_PART = /^[A-Za-z0-9][A-Za-z0-9-]{0,63}$/;

const asked = (pins: SigningPins): readonly (readonly [Pin, string | null])[] =>
  (
    [
      ['region', pins.awsRegion],
      ['service', pins.awsService],
    ] as const
  ).flatMap(([pin, value]) => (value === undefined ? [] : [[pin, value] as const]));

/**
 * The injections with these pins.
 * @param base the injections that the secret has without any grant's pins
 * @param problems what is wrong is added here
 */
export function pinSigning(
  injections: readonly Injection[],
  base: readonly Injection[],
  pins: SigningPins,
  { credential, provider }: SigningOwner,
  problems: (string | undefined)[],
): readonly Injection[] {
  const wanted = asked(pins);
  if (wanted.length === 0) return injections;
  const own = base.find((each): each is SigV4Injection => each.in === 'sigv4');
  if (own === undefined) {
    problems.push(`aws_${wanted[0]?.[0]}: "${credential.name}" does not sign for AWS`);
    return injections;
  }
  const change: { region?: string; service?: string } = {};
  for (const [pin, value] of wanted) {
    const problem = value === null ? null : pinProblem(own[pin] ?? '', value, credential, provider);
    if (problem === null) change[pin] = value ?? own[pin] ?? '';
    else problems.push(`aws_${pin}: ${problem}`);
  }
  return injections.map((each) => (each.in === 'sigv4' ? { ...each, ...change } : each));
}

/** SECURITY: a grant only narrows; where the secret's own pin can't be seen, nothing says that this one is within it. */
function pinProblem(
  template: string,
  value: string,
  credential: CredentialRow,
  provider: ProviderSpec | undefined,
): string | null {
  if (!SCOPE_PART.test(value)) return 'use letters, digits and "-", such as eu-central-1';
  const own = visible(template, credential, provider);
  if (own === null) return `"${credential.name}" has a pin of its own that is not known here`;
  return own === '' || own === value ? null : `"${credential.name}" is for ${JSON.stringify(own)} alone`;
}

/** What a template says of public fields; null when it holds one that is secret, or fetched. */
function visible(template: string, { publicFields, sources }: CredentialRow, provider: ProviderSpec | undefined): string | null {
  let isKnown = true;
  const text = template.replaceAll(/\{([a-z][a-z0-9_]*)\}/g, (_all, name: string) => {
    if (Object.hasOwn(publicFields, name)) return publicFields[name] as string;
    // One that is no secret and was left out is empty.
    const isEmpty = provider?.fields.some((field) => field.name === name && !field.secret) && sources?.fields[name] === undefined;
    if (!isEmpty) isKnown = false;
    return '';
  });
  return isKnown ? text : null;
}
