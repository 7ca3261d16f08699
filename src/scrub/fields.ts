/**
 * Fields of an answer that give its reader a credential of the provider's own (S-63). The agent's request went out in the
 * name of a grant, so the session, the nonce or the token that comes back belongs to the grant, not to the agent.
 */

/** Lower case. */
const DROPPED: ReadonlySet<string> = new Set([
  'set-cookie',
  'set-cookie2',
  'authentication-info',
  'proxy-authentication-info',
  'authentication-control',
  'optional-www-authenticate',
]);

/** Challenges that say how to authenticate and carry nothing to do it with: git, browsers and MCP clients read them. */
const HARMLESS_CHALLENGE = /^(?:basic|bearer)$/i;
const BEGINS_CHALLENGE = /^([!#$%&'*+.^_`|~\w-]+)(?:[ \t]+(.*))?$/s;
/** `name=` and not the padding of a token68. */
const IS_PARAMETER = /^[!#$%&'*+.^_`|~\w-]+[ \t]*=(?!=*$)/;

/** Parts of a list, split at commas outside quotes. */
function listParts(value: string): string[] {
  const parts: string[] = [];
  let from = 0;
  let quoted = false;
  for (let i = 0; i < value.length; i++) {
    const char = value[i];
    if (quoted && char === '\\') i++;
    else if (char === '"') quoted = !quoted;
    else if (char === ',' && !quoted) {
      parts.push(value.slice(from, i));
      from = i + 1;
    }
  }
  parts.push(value.slice(from));
  return parts.map((part) => part.trim()).filter((part) => part !== '');
}

/** WWW-Authenticate with its Basic and Bearer challenges alone; null when there is none. Nonces and tokens of others go. */
export function harmlessChallenges(value: string): string | null {
  const kept: string[] = [];
  let keeps = false;
  for (const part of listParts(value)) {
    const scheme = IS_PARAMETER.test(part) ? null : BEGINS_CHALLENGE.exec(part);
    if (scheme !== null) keeps = HARMLESS_CHALLENGE.test(scheme[1] as string);
    if (keeps) kept.push(part);
  }
  return kept.length === 0 ? null : kept.join(', ');
}

/** What the agent may have of a field; null for nothing. */
export function agentsValue(name: string, value: string): string | null {
  const lower = name.toLowerCase();
  if (DROPPED.has(lower)) return null;
  return lower === 'www-authenticate' ? harmlessChallenges(value) : value;
}
