/**
 * A provider as strict as real ones: each refresh token is good once, and the second use of one ends the whole family of tokens. It knows
 * which replica asked, and judges each reuse: what was stored must never be asked for with an older token, and only a replica that was
 * killed may take an answer with it.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { answerJson, readBody } from '../e2e/support/provider.ts';
import type { ChaosRecord } from './record.ts';

export const API_HOST = 'api.acme.test';
export const AUTH_HOST = 'auth.acme.test';
export const CLIENT_SECRET = 'SEKRET-marker-chaos-client';

export const PROVIDER_TOML = `slug = "acme"
name = "Acme"
kind = "oauth"
evidence = "general"
hosts = ["${API_HOST}"]
[oauth]
authorize_url = "https://${AUTH_HOST}/authorize"
token_url = "https://${AUTH_HOST}/token"
default_scopes = ["read"]
refresh = "rotating"
`;

/** After the end of a family nobody has a reason to go on asking. */
const MOST_CALLS_AFTER_END = 6;

interface Answered {
  readonly replica: number;
  readonly at: number;
}

export interface Family {
  readonly agent: string;
  readonly no: number;
  /** One for each refresh token, by its number; the first one is what the operator imports. */
  readonly answers: Answered[];
  isRevoked: boolean;
  callsAfterEnd: number;
  /** Of the stored credential when token `base.no` was the newest; null until it is connected. */
  base: { readonly credentialId: string; readonly version: number; readonly no: number } | null;
}

export interface AccountsOptions {
  readonly record: ChaosRecord;
  readonly lifeS: number;
  /** Version of a credential in the database, asked without a fault in between; waits for it where it has to. */
  readonly versionOf: (credentialId: string) => Promise<number>;
  /** True when the replica was killed after this moment (by performance.now()). */
  readonly wasKilledAfter: (replica: number, at: number) => boolean;
}

export class Accounts {
  readonly families: Family[] = [];
  /** Judgements that wait for the database. */
  readonly pending = new Set<Promise<unknown>>();
  readonly #options: AccountsOptions;
  readonly #accessTokens = new Map<string, Family>();

  constructor(options: AccountsOptions) {
    this.#options = options;
  }

  /** A family, and the refresh token that begins it. */
  begin(agent: string): { readonly family: Family; readonly refreshToken: string } {
    const no = this.families.length;
    const family: Family = { agent, no, answers: [], isRevoked: false, callsAfterEnd: 0, base: null };
    family.answers.push({ replica: -1, at: performance.now() });
    this.families.push(family);
    return { family, refreshToken: refreshToken(no, 0) };
  }

  /** The token endpoint, as replica `replica` reaches it. */
  async token(replica: number, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const parameters = new URLSearchParams((await readBody(request)).toString());
    const [, familyNo, tokenNo] = /^SEKRET-marker-refresh-(\d+)-(\d+)$/.exec(parameters.get('refresh_token') ?? '') ?? [];
    const family = this.families[Number(familyNo)];
    const refuse = (): void => answerJson(response, 400, { error: 'invalid_grant' });
    if (family === undefined || parameters.get('client_secret') !== CLIENT_SECRET) {
      this.#options.record.fault(`the token endpoint was asked with something that it never handed out`);
      return refuse();
    }
    if (family.isRevoked) {
      if (++family.callsAfterEnd === MOST_CALLS_AFTER_END)
        this.#options.record.fault(`family ${family.no} is asked for again and again although it has ended`);
      return refuse();
    }
    const used = Number(tokenNo);
    const newest = family.answers.length - 1;
    if (used !== newest) {
      family.isRevoked = true;
      const judging = this.#judge(family, used, replica).finally(() => this.pending.delete(judging));
      this.pending.add(judging);
      return refuse();
    }
    family.answers.push({ replica, at: performance.now() });
    const access = `SEKRET-marker-access-${family.no}-${newest + 1}`;
    this.#accessTokens.set(access, family);
    answerJson(response, 200, {
      ...{ access_token: access, refresh_token: refreshToken(family.no, newest + 1) },
      ...{ token_type: 'bearer', expires_in: this.#options.lifeS },
    });
  }

  /** The provider's own API: whose token is it? */
  api(request: IncomingMessage, response: ServerResponse): void {
    const { record } = this.#options;
    const path = request.url ?? '';
    const asked = record.requests.get(path);
    const bearer = (request.headers.authorization ?? '').replace(/^Bearer /, '');
    const family = this.#accessTokens.get(bearer);
    if (asked === undefined) record.fault(`the provider got ${path}, which nobody asked for`);
    else if (family === undefined) record.fault(`${path} arrived with no known token: ${bearer.slice(0, 60)}`);
    else if (family.agent !== asked.agent) record.fault(`${path} of ${asked.agent} arrived with a token of ${family.agent}`);
    if (asked !== undefined) asked.arrivals++;
    if (family === undefined || family.isRevoked) answerJson(response, 401, { error: 'invalid_token' });
    else answerJson(response, 200, { ok: true });
  }

  async #judge(family: Family, used: number, asker: number): Promise<undefined> {
    const { record, versionOf, wasKilledAfter } = this.#options;
    const newest = family.answers.length - 1;
    const what = `family ${family.no}: replica ${asker} used token ${used} again, the newest is ${newest}`;
    if (family.base === null) return record.fault(`${what}, before it was connected`);
    const { credentialId, version, no } = family.base;
    const stored = no + (await versionOf(credentialId)) - version;
    if (stored > used) return record.fault(`${what}, and ${stored} was stored`);
    const lost = family.answers[used + 1] as Answered;
    if (!wasKilledAfter(lost.replica, lost.at))
      return record.fault(`${what}; replica ${lost.replica}, which got the answer, is alive and did not keep it`);
    record.tell(`${what}: replica ${lost.replica} was killed with the answer. The account has to be connected again`);
  }
}

const refreshToken = (family: number, no: number): string => `SEKRET-marker-refresh-${family}-${no}`;
