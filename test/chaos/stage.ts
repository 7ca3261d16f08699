/**
 * The parts of a fleet as processes: PostgreSQL, replicas of a vault, daemons that are enrolled at it, each with a way that can be broken
 * between it and what it needs. It starts them, kills them and starts them again; it judges nothing.
 */
import { copyFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import type { InvitationView } from '../../src/api/hosts.ts';
import { loadConfig } from '../../src/config/load.ts';
import { resolvePaths } from '../../src/config/paths.ts';
import { Secret } from '../../src/domain/secret.ts';
import { enrollInstallation } from '../../src/enrolled-host.ts';
import { configFor, type Provider, startProvider } from '../e2e/support/provider.ts';
import { type AlterdProcess, makeHome, startAlterd } from '../helpers/alterd-process.ts';
import { callApi } from '../helpers/daemon.ts';
import { type FaultProxy, startFaultProxy } from '../helpers/fault-proxy.ts';
import { makePki, type TestPki } from '../helpers/pki.ts';
import { type PostgresServer, startPostgres } from '../helpers/postgres.ts';
import { Accounts, API_HOST, AUTH_HOST, CLIENT_SECRET, PROVIDER_TOML } from './accounts.ts';
import type { ChaosRecord } from './record.ts';

const RETRY_MS = 300;

export interface Part {
  readonly name: string;
  readonly home: string;
  /** Null while it is dead. */
  process: AlterdProcess | null;
  /** When it was killed, by performance.now(). */
  readonly kills: number[];
  /** Begins as many times as it ended; what every life printed. */
  printed: string;
  /** To what it needs: the database, or the vault. */
  readonly way: FaultProxy;
  /** The last start or kill. */
  turn: Promise<void>;
  api<T = Record<string, unknown>>(method: string, path: string, body?: unknown): Promise<T>;
}

export interface StageOptions {
  readonly record: ChaosRecord;
  readonly replicas: number;
  readonly daemons: number;
  readonly leaseMs: number;
  readonly tokenLifeS: number;
}

export class FleetStage {
  readonly replicas: Part[] = [];
  readonly daemons: Part[] = [];
  readonly accounts: Accounts;
  readonly options: StageOptions;
  readonly #pki: TestPki = makePki();
  readonly #postgres: PostgresServer = startPostgres();
  readonly #providers: Provider[] = [];
  #database = '';
  #databaseTurn: Promise<void> = Promise.resolve();
  #isDatabaseUp = true;
  #crashes = 0;
  #api: Provider | null = null;
  #next = 0;
  #stopping = false;

  constructor(options: StageOptions) {
    this.options = options;
    this.accounts = new Accounts({
      record: options.record,
      lifeS: options.tokenLifeS,
      versionOf: (id) => this.versionOf(id),
      wasKilledAfter: (n, at) => (this.replicas[n]?.kills ?? []).some((kill) => kill >= at),
    });
  }

  async start(): Promise<void> {
    const { replicas, daemons } = this.options;
    // A run that is cut off leaves no server behind.
    process.once('exit', () => this.#postgres.remove());
    this.#database = this.#postgres.createDatabase('vault');
    this.#api = await startProvider(this.#pki, { sites: { [API_HOST]: (q, a) => this.accounts.api(q, a) } });
    // The first one makes the master key and the schema that the others share.
    for (let n = 0; n < replicas; n++) this.replicas.push(await this.#replica(n));
    await this.revive(this.replicas[0] as Part);
    for (const replica of this.replicas.slice(1)) {
      copyFileSync(join(this.replicas[0]?.home ?? '', 'config', 'master.key'), join(replica.home, 'config', 'master.key'));
    }
    await Promise.all(this.replicas.slice(1).map((replica) => this.revive(replica)));
    await this.manage('POST', '/v1/provider-clients', { provider: 'acme', client_id: 'chaos', client_secret: CLIENT_SECRET });
    for (let n = 0; n < daemons; n++) this.daemons.push(await this.#daemon(n));
    await Promise.all(this.daemons.map((daemon) => this.revive(daemon)));
  }

  get parts(): Part[] {
    return [...this.replicas, ...this.daemons];
  }

  /** A call of the management API at whichever replica is there. */
  manage<T = Record<string, unknown>>(method: string, path: string, body?: unknown): Promise<T> {
    const alive = this.replicas.filter(({ process }) => process !== null);
    const replica = alive[this.#next++ % Math.max(1, alive.length)];
    return replica === undefined ? Promise.reject(new Error('no replica is there')) : replica.api<T>(method, path, body);
  }

  /** Starts a part that is dead; again and again, since what it needs may be away. */
  revive(part: Part): Promise<void> {
    part.turn = part.turn.then(async () => {
      while (part.process === null && !this.#stopping) {
        try {
          const verb = this.replicas.includes(part) ? { verb: ['vault', 'start'] } : {};
          part.process = await startAlterd({ home: part.home, ...verb, flags: ['--log-level', 'info'] });
        } catch (error) {
          part.printed += `${(error as Error).message}\n`;
          this.options.record.tell(`${part.name} does not start: ${(error as Error).message.slice(0, 300)}`);
          await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
        }
      }
    });
    return part.turn;
  }

  kill(part: Part): Promise<void> {
    part.turn = part.turn.then(async () => {
      const { process } = part;
      if (process === null) return;
      part.process = null;
      part.kills.push(performance.now());
      process.signal('SIGKILL');
      await process.ended;
      part.kills.push(performance.now());
      part.printed += process.log();
    });
    return part.turn;
  }

  /** Each crash is ended by a beginDatabase() of its own: it is there again when the last one has ended. */
  crashDatabase(): Promise<void> {
    this.#crashes++;
    return this.#settleDatabase();
  }

  beginDatabase(): Promise<void> {
    this.#crashes--;
    return this.#settleDatabase();
  }

  #settleDatabase(): Promise<void> {
    this.#databaseTurn = this.#databaseTurn.then(async () => {
      const wanted = this.#crashes === 0;
      if (wanted === this.#isDatabaseUp) return;
      await (wanted ? this.#postgres.begin() : this.#postgres.crash());
      this.#isDatabaseUp = wanted;
    });
    return this.#databaseTurn;
  }

  /** Straight from the database, as soon as it answers. */
  async versionOf(credentialId: string): Promise<number> {
    const [row] = await this.query<{ version: number }>('select version::int from credentials where id = $1', [credentialId]);
    return row?.version ?? 0;
  }

  async query<T extends object>(sql: string, values: readonly unknown[]): Promise<T[]> {
    for (;;) {
      const client = new pg.Client({ host: this.#postgres.directory, user: 'alterd', database: 'vault' });
      client.on('error', () => {});
      try {
        await client.connect();
        return (await client.query<T>(sql, [...values])).rows;
      } catch (error) {
        if (this.#stopping) throw error;
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      } finally {
        await client.end().catch(() => {});
      }
    }
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    for (const part of this.parts) part.way.set(null);
    await Promise.allSettled(this.parts.map((part) => part.turn));
    await Promise.allSettled(
      [...this.daemons, ...this.replicas].map(async (part) => {
        const end = part.process?.stop({ keep: true });
        await end;
        part.printed += part.process?.log() ?? '';
        await part.way.close();
      }),
    );
    await Promise.allSettled([this.#api?.close(), ...this.#providers.map((provider) => provider.close())]);
    this.#postgres.remove();
    for (const { home } of this.parts) rmSync(home, { recursive: true, force: true });
    rmSync(this.#pki.dir, { recursive: true, force: true });
  }

  async #replica(n: number): Promise<Part> {
    // Each asks an endpoint of its own, so that the provider knows who asks.
    const provider = await startProvider(this.#pki, { sites: { [AUTH_HOST]: (q, a) => this.accounts.token(n, q, a) } });
    this.#providers.push(provider);
    const way = await startFaultProxy({ target: () => ({ path: join(this.#postgres.directory, '.s.PGSQL.5432') }) });
    const { pathname, username } = new URL(this.#database);
    const own = `[vault_server]\nlease_ms = ${this.options.leaseMs}\ndatabase = "postgresql://${username}@127.0.0.1:${way.port}${pathname}"\n`;
    return this.#part(`replica ${n}`, way, configFor(this.#pki, { [`${AUTH_HOST}:443`]: provider.port }, own));
  }

  async #daemon(n: number): Promise<Part> {
    const way = await startFaultProxy({ target: () => this.#someReplica() });
    const part = this.#part(`daemon ${n}`, way, configFor(this.#pki, { [`${API_HOST}:443`]: this.#api?.port ?? 0 }));
    const { token, fingerprint } = await this.manage<InvitationView>('POST', '/v1/hosts', { name: `host-${n}` });
    const paths = resolvePaths({ home: part.home, env: {} });
    await enrollInstallation({
      ...{ paths, configFile: paths.configFile, version: '0.1.0', url: `https://127.0.0.1:${way.port}` },
      ...{ token: new Secret(token), authority: { fingerprint } },
      config: loadConfig({ file: paths.configFile, env: {} }).config,
    });
    return part;
  }

  /** What a balancer does: any replica that is there. */
  #someReplica(): { host: string; port: number } | null {
    const alive = this.replicas.filter(({ process }) => process !== null);
    const replica = alive[this.#next++ % Math.max(1, alive.length)];
    const address = /:(\d+)$/.exec(String(replica?.process?.ready.listen ?? ''));
    return address === null ? null : { host: '127.0.0.1', port: Number(address[1]) };
  }

  #part(name: string, way: FaultProxy, config: string): Part {
    const home = makeHome(config);
    mkdirSync(join(home, 'config', 'providers'), { recursive: true, mode: 0o700 });
    writeFileSync(join(home, 'config', 'providers', 'acme.toml'), PROVIDER_TOML, { mode: 0o600 });
    const socket = join(home, 'state', 'api.sock');
    return {
      ...{ name, home, way, process: null, kills: [], printed: '', turn: Promise.resolve() },
      api: (method, path, body) => callApi(socket, method, path, body),
    };
  }
}
