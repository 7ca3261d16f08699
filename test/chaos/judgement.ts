/** What has to hold when the storm is over: every row once and in the chain, every account usable or known to be lost. */

import { join } from 'node:path';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { openClient } from '../../src/api/client.ts';
import type { StatusView } from '../../src/api/status.ts';
import { GENESIS, nextHash } from '../../src/journal/chain.ts';
import { parseRowLine } from '../../src/journal/row-line.ts';
import type { Agents } from './agents.ts';
import type { ChaosRecord, Request } from './record.ts';
import type { FleetStage, Part } from './stage.ts';

interface Page {
  readonly journal: string | null;
  readonly journals: readonly string[];
  readonly rows: readonly { readonly line: string }[];
}

/** Asks again until it is so; false when the time is over. */
export async function eventually(ms: number, isSo: () => Promise<boolean>): Promise<boolean> {
  const end = performance.now() + ms;
  for (;;) {
    if (await isSo().catch(() => false)) return true;
    if (performance.now() > end) return false;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

/** Every daemon hears of changes at once. */
export const isCalm = async (stage: FleetStage): Promise<boolean> =>
  (await Promise.all(stage.daemons.map(isStreaming))).every(Boolean);

export const isStreaming = async (daemon: Part): Promise<boolean> =>
  (await daemon.api<StatusView>('GET', '/v1/status')).vault?.state === 'streaming';

/** How many streams it has lost since it began. */
export const streamsLost = async (daemon: Part): Promise<number> =>
  (await daemon.api<StatusView>('GET', '/v1/status')).vault?.streams_lost ?? 0;

/** Rows of a daemon, and of them those that the vault has. Called while no request is under way. */
export async function judgeAudit(stage: FleetStage, record: ChaosRecord, waitMs: number): Promise<void> {
  for (const [n, daemon] of stage.daemons.entries()) {
    const prefix = new RegExp(`^/(static|account)/bot-${n}-`);
    const asked = [...record.requests.values()].filter(({ path }) => prefix.test(path));
    const needed = asked.filter(({ status, arrivals }) => (status ?? -1) > 0 || arrivals > 0);
    let lines: string[] = [];
    let rows: Rows = { paths: new Map(), ids: new Map() };
    const isThere = ({ path, id }: Request): boolean => rows.paths.has(path) || (id !== null && rows.ids.has(id));
    await eventually(5_000, async () => {
      lines = await exported(daemon);
      rows = rowsOf(lines);
      return needed.every(isThere);
    });
    for (const { path, id, status, error, arrivals } of needed.filter((request) => !isThere(request)).slice(0, 5))
      record.fault(`${daemon.name} has no row of ${path} (${id}, answered ${status} ${error ?? ''}, arrived ${arrivals} times)`);
    for (const counts of [rows.paths, rows.ids])
      for (const [key, count] of counts) if (count > 1) record.fault(`${daemon.name} has ${count} rows of ${key}`);
    judgeChain(daemon, lines, record);
    let kept: string[] = [];
    await eventually(waitMs, async () => {
      kept = await keptRows(stage, n);
      return kept.length >= lines.length;
    });
    const own = await exported(daemon);
    const odd = kept.findIndex((line, i) => own[i] !== line);
    if (odd >= 0) record.fault(`row ${odd + 1} of ${daemon.name} is another one at the vault: ${kept[odd]} and not ${own[odd]}`);
    record.tell(
      `${daemon.name}: ${asked.length} requests, ${needed.length} answered or arrived, ${own.length} rows, ${kept.length} at the vault`,
    );
  }
}

interface Rows {
  /** How many there are by path, and by request id. A refusal of a key knows no path. */
  readonly paths: Map<string, number>;
  readonly ids: Map<string, number>;
}

function rowsOf(lines: readonly string[]): Rows {
  const rows: Rows = { paths: new Map(), ids: new Map() };
  const count = (counts: Map<string, number>, key: string): void => void counts.set(key, (counts.get(key) ?? 0) + 1);
  for (const line of lines) {
    const { path = '', request_id: id = '' } = JSON.parse(line) as { path?: string; request_id?: string };
    if (/^\/(static|account)\//.test(path)) count(rows.paths, path);
    count(rows.ids, id);
  }
  return rows;
}

function judgeChain(daemon: Part, lines: readonly string[], record: ChaosRecord): undefined {
  let previous = GENESIS;
  for (const [i, line] of lines.entries()) {
    const row = parseRowLine(line);
    if (row === undefined || row.n !== i + 1 || row.prev !== previous || nextHash(row.prev, row.body) !== row.hash)
      return record.fault(`the chain of ${daemon.name} breaks at row ${i + 1}`);
    previous = row.hash;
  }
}

async function exported(daemon: Part): Promise<string[]> {
  const client = openClient(join(daemon.home, 'state', 'api.sock'));
  const all = (await text(Readable.from(client.stream('/v1/audit/export')))).split('\n');
  // Behind the rows come checkpoints.
  return all.filter((line) => line.startsWith('{"n":'));
}

async function keptRows(stage: FleetStage, n: number): Promise<string[]> {
  const rows: string[] = [];
  for (;;) {
    const page = await stage.manage<Page>('GET', `/v1/hosts/host-${n}/audit?limit=1000&after=${rows.length}`);
    if (page.journals.length > 1) throw new Error(`host-${n} has ${page.journals.length} journals`);
    rows.push(...page.rows.map(({ line }) => line));
    if (page.rows.length < 1_000) return rows;
  }
}

/** Each account answers, or was lost with a replica that was killed: then it says so, and is connected anew. */
export async function judgeAccounts(stage: FleetStage, agents: Agents, record: ChaosRecord, waitMs: number): Promise<void> {
  await Promise.all(stage.accounts.pending);
  await Promise.all(
    agents.all.map(async (agent) => {
      let last = '';
      const isUsable = await eventually(waitMs, async () => {
        const { status, error, answer } = await agents.askAccount(agent);
        last = `${status} ${error ?? ''} ${status === 200 ? '' : answer}`;
        return status === 200 || error === 're_auth_required';
      });
      await Promise.all(stage.accounts.pending);
      if (agent.family?.isRevoked !== true) {
        if (!isUsable) record.fault(`the account of ${agent.name} is not usable in ${waitMs} ms: ${last}`);
        else if (last.includes('re_auth_required'))
          record.fault(`the account of ${agent.name} is said to be lost, but its family of tokens is good`);
        return;
      }
      if (!last.includes('re_auth_required'))
        record.fault(`the account of ${agent.name} is lost, and its requests are answered ${last}`);
      await agents.connect(agent);
      if (!(await eventually(10_000, async () => (await agents.askAccount(agent)).status === 200)))
        record.fault(`the account of ${agent.name} was connected anew and is not usable`);
    }),
  );
}
