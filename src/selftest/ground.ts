/**
 * The ground of the self-test: throw-away agents, secrets, grants and origins beside the user's own, all marked by one name, all made through
 * the Vault API and taken away by `close`. Nothing that was there before is changed, and no setting is weakened: what has to be reached on
 * loopback without TLS is allowed by throw-away grants alone.
 */
import { randomBytes } from 'node:crypto';
import type { CaView } from '../api/ca.ts';
import { type ApiClient, apiPath } from '../api/client.ts';
import type { StatusView } from '../api/status.ts';
import type { AgentView, GrantView } from '../api/views.ts';
import { AlterError } from '../domain/errors.ts';
import { insist } from './check.ts';
import { type Origin, startOrigin, startTrap, type Trap } from './origin.ts';
import { type ProxyAddress, Speaker } from './speaker.ts';

export interface Ground {
  readonly client: ApiClient;
  readonly status: StatusView;
  readonly ca: CaView;
  readonly proxy: ProxyAddress;
  /** Marks everything that belongs to this run. */
  readonly name: string;
  /** A host that does not exist, with a grant for GET and POST on /public/**. */
  readonly host: string;
  /** Has a bearer grant for GET and POST on /public/**. */
  readonly origin: Origin;
  /** Has a grant that puts another secret into the query. */
  readonly second: Origin;
  /** No grant names it. */
  readonly trap: Trap;
  readonly secret: string;
  readonly secondSecret: string;
  readonly bot: Speaker;
  readonly placeholder: string;
  readonly secondPlaceholder: string;
  /** A configuration value in force, by its key. */
  setting(key: string): unknown;
  /** A URL at the origin. */
  url(path: string): string;
  /** Another throw-away agent. */
  agent(): Promise<{ readonly name: string; readonly speaker: Speaker; readonly key: string }>;
  grant(agent: string, credential: 'first' | 'second', more: Readonly<Record<string, unknown>>): Promise<GrantView>;
  /** The bodies that a refusal of the API is about: its error code, or null when it was accepted. What was made is taken away at the end. */
  refusalOf(path: string, body: Readonly<Record<string, unknown>>): Promise<string | null>;
  /** Audit rows of one agent, newest first. */
  rows(agent: string): Promise<readonly Row[]>;
  /** Takes everything away again. May be called twice. Answers what could not be removed. */
  close(): Promise<readonly string[]>;
}

export interface Row {
  readonly agent: string | null;
  readonly error: string | null;
  readonly path: string | null;
  readonly replaced: boolean;
  readonly scrubbed: number;
  readonly status: number | null;
}

const MARK = /^selftest-[0-9a-f]{8}/;
const STALE_MS = 10 * 60_000;

/** Removes what a run that was killed left behind. */
async function removeStale(client: ApiClient): Promise<void> {
  const { agents } = await client.read<{ agents: AgentView[] }>(apiPath('agents'));
  const { secrets } = await client.read<{ secrets: { name: string; created_at: string }[] }>(apiPath('secrets'));
  const isStale = (each: { name: string; created_at: string }): boolean =>
    MARK.test(each.name) && Date.parse(each.created_at) < Date.now() - STALE_MS;
  for (const { name } of agents.filter(isStale)) await client.remove(apiPath('agents', name));
  for (const { name } of secrets.filter(isStale)) await client.remove(apiPath('secrets', name), { cascade: true });
}

/** Makes the ground. @throws AlterError of the daemon; nothing is left then */
export async function prepareGround(client: ApiClient): Promise<Ground> {
  const status = await client.read<StatusView>(apiPath('status'));
  const ca = await client.read<CaView>(apiPath('ca'));
  const { values } = await client.read<{ values: Readonly<Record<string, { readonly value: unknown }>> }>(apiPath('config'));
  await removeStale(client);
  const name = `selftest-${randomBytes(4).toString('hex')}`;
  const undo: [string, () => Promise<unknown>][] = [];
  const removal = (what: string, kind: string, id: string): void => {
    undo.push([what, () => client.remove(apiPath(kind, id), kind === 'secrets' ? { cascade: true } : {})]);
  };
  const close = async (): Promise<readonly string[]> => {
    const left: string[] = [];
    for (const [what, step] of undo.splice(0).reverse())
      await step().catch((error: unknown) => {
        if (!(error instanceof AlterError && error.code === 'not_found')) left.push(what);
      });
    return left;
  };
  try {
    const [origin, second, trap] = await Promise.all([startOrigin(), startOrigin(), startTrap()]);
    for (const each of [origin, second, trap]) undo.push(['an origin', () => each.close()]);
    const proxy = proxyOf(status);
    const secret = `selftest-secret-${randomBytes(18).toString('hex')}`;
    const secondSecret = `selftest-other-${randomBytes(18).toString('hex')}`;
    const first = { name: `${name}-a`, provider: 'selftest', kind: 'bearer', fields: { token: secret } };
    const other = { name: `${name}-b`, provider: 'selftest', inject: [{ in: 'query', name: 'key', template: '{token}' }], fields: { token: secondSecret } }; // biome-ignore format: one thing
    for (const each of [first, other]) {
      removal(`secret ${each.name}`, 'secrets', each.name);
      await client.send(apiPath('secrets'), each);
    }
    let count = 0;
    const agent = async (): Promise<{ name: string; speaker: Speaker; key: string }> => {
      const own = `${name}-${++count}`;
      removal(`agent ${own}`, 'agents', own);
      const { key } = await client.send<{ key: string }>(apiPath('agents'), { name: own });
      const speaker = new Speaker(proxy, ca.pem, own, key);
      undo.push(['its sockets', async () => speaker.close()]);
      return { name: own, speaker, key };
    };
    const grant = async (
      to: string,
      credential: 'first' | 'second',
      more: Readonly<Record<string, unknown>>,
    ): Promise<GrantView> => {
      const body = { credential: credential === 'first' ? first.name : other.name, agent: to, allow_private: true, ...more };
      return (await client.send<{ grant: GrantView }>(apiPath('grants'), body)).grant;
    };
    const bot = await agent();
    // Under name constraints the local CA signs for these names alone.
    const [domain = 'invalid'] = (values['ca.name_constraints']?.value as readonly string[] | undefined) ?? [];
    const host = `api.${name}.${domain}`;
    const rules = { methods: ['GET', 'POST'], paths: ['/public/**'] };
    const main = await grant(bot.name, 'first', { hosts: [`http://${origin.authority}`], allow_plaintext: true, ...rules });
    const queried = await grant(bot.name, 'second', { hosts: [`http://${second.authority}`], allow_plaintext: true });
    await grant(bot.name, 'first', { hosts: [host], ...rules });
    return {
      client, status, ca, proxy, name, host, origin, second, trap, secret, secondSecret,
      bot: bot.speaker,
      placeholder: main.placeholder ?? '',
      secondPlaceholder: queried.placeholder ?? '',
      setting: (key) => values[key]?.value,
      url: (path) => `http://${origin.authority}${path}`,
      agent,
      grant,
      refusalOf: async (path, body) => {
        try {
          const made = await client.send<{ secret?: { name: string }; grant?: { id: string } }>(apiPath(path), body);
          if (made.secret !== undefined) removal('a secret', 'secrets', made.secret.name);
          if (made.grant !== undefined) removal('a grant', 'grants', made.grant.id);
          return null;
        } catch (error) {
          if (error instanceof AlterError) return error.code;
          throw error;
        }
      },
      rows: async (who) => (await client.read<{ entries: Row[] }>(apiPath('audit'), { agent: who, limit: 500 })).entries,
      close,
    }; // biome-ignore format: one thing
  } catch (error) {
    await close();
    throw error;
  }
}

function proxyOf({ proxy }: StatusView): ProxyAddress {
  const match = /^(.*):(\d+)$/.exec(proxy.tcp ?? '');
  if (match !== null) return { host: (match[1] ?? '').replace(/^\[|\]$/g, ''), port: Number(match[2]) };
  insist(proxy.unix !== null, 'the proxy listens nowhere');
  return { path: proxy.unix };
}
