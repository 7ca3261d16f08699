/** The calls of a host to its vault, over the signed client: JSON to values and back, and the event stream. It keeps nothing. */
import type { IncomingMessage } from 'node:http';
import type { HostOpener } from '../crypto/hpke.ts';
import { AlterError } from '../domain/errors.ts';
import type { BundleAnswer, LentWire, MaterialsAnswer, QuotaAskWire, QuotasAnswer } from '../domain/fleet-wire.ts';
import { readWireChange, readWireView } from '../vault/host-wire.ts';
import { openMaterial } from '../vault/lent-material.ts';
import type { SignedClient } from './signed-client.ts';
import type {
  Bundle,
  EventSink,
  LendingAnswer,
  LentMaterial,
  QuotaCall,
  QuotaDraws,
  Unchanged,
  VaultCalls,
} from './vault-calls.ts';
import { refusalOf } from './vault-errors.ts';

/** The vault says every 5 s that it is there. */
const SILENT_MS = 12_000;
const MAX_EVENT_BYTES = 64 * 1024 * 1024;

export interface HostCallsOptions {
  readonly client: Pick<SignedClient, 'call' | 'stream'>;
  readonly opener: HostOpener;
  readonly vaultId: string;
  readonly hostId: string;
}

export class HostCalls implements VaultCalls {
  readonly #options: HostCallsOptions;

  constructor(options: HostCallsOptions) {
    this.#options = options;
  }

  async bundle(known: string | null): Promise<Bundle | Unchanged> {
    const headers: Record<string, string> = known === null ? {} : { 'if-none-match': `"${known}"` };
    const answer = await this.#options.client.call<BundleAnswer>('GET', '/v1/host/bundle', undefined, { headers });
    if (answer.status === 304)
      return { view: null, epoch: Number(answer.headers['alter-epoch']), leaseMs: Number(answer.headers['alter-lease-ms']) };
    const { vault_id: vaultId, epoch, digest, lease_ms: leaseMs, rows } = answer.body;
    // SECURITY: another vault's grants are not this one's, whatever its certificate.
    if (vaultId !== this.#options.vaultId)
      throw new AlterError(
        'vault_unavailable',
        { reason: 'another vault answers at its address' },
        { hint: 'Was the vault set up anew? Then enroll this host again: `alterd enroll URL`.' },
      );
    return { vaultId, epoch, digest, leaseMs, view: readWireView(rows) };
  }

  async materials(grantIds: readonly string[]): Promise<LendingAnswer> {
    const { body } = await this.#options.client.call<MaterialsAnswer>('POST', '/v1/host/materials', { grant_ids: grantIds });
    const materials = await Promise.all(body.materials.map((each) => this.#opened(each)));
    const failures = body.failures.map(({ grant_id: grantId, problem }) => ({
      grantId,
      error: refusalOf(503, JSON.stringify(problem)),
    }));
    return { materials, failures };
  }

  async renew(grantId: string, version: number): Promise<LentMaterial | null> {
    const { body } = await this.#options.client.call<{ material: LentWire | null }>('POST', '/v1/host/materials/renew', {
      grant_id: grantId,
      version,
    });
    return body.material === null ? null : this.#opened(body.material);
  }

  async quotas(asks: readonly QuotaCall[]): Promise<QuotaDraws> {
    const wire = asks.map((ask): QuotaAskWire => {
      const settled = ask.settled.map(({ sliceId, used, idleMs }) => ({ slice_id: sliceId, used, idle_ms: idleMs }));
      const { rule, agentId, grantId, sliceId, seen, want } = ask;
      return { rule, agent_id: agentId, grant_id: grantId, slice_id: sliceId, seen, want, settled };
    });
    const { body } = await this.#options.client.call<QuotasAnswer>('POST', '/v1/host/quotas', { asks: wire });
    return {
      slices: body.quotas.map(({ slice_id: sliceId, count, valid_ms: validMs, retry_ms: retryMs, version }) => ({
        ...{ sliceId, count, validMs, retryMs, version },
      })),
      failures: body.failures.map(({ slice_id: sliceId, problem }) => ({
        sliceId,
        error: refusalOf(503, JSON.stringify(problem)),
      })),
    };
  }

  async dropDelegation(agentId: string, delegationId: string): Promise<void> {
    await this.#options.client.call('POST', '/v1/host/delegations/drop', { agent_id: agentId, delegation_id: delegationId });
  }

  async events(after: { readonly epoch: number; readonly digest: string }, sink: EventSink, signal: AbortSignal): Promise<void> {
    let response: IncomingMessage | undefined;
    try {
      const target = `/v1/host/events?after=${after.epoch}.${encodeURIComponent(after.digest)}`;
      response = await this.#options.client.stream(target, { signal });
      response.setTimeout(SILENT_MS, () => response?.destroy());
      sink.onOpen();
      let rest = '';
      for await (const part of response.setEncoding('utf8')) {
        rest += part as string;
        if (rest.length > MAX_EVENT_BYTES) return;
        let end = rest.indexOf('\n\n');
        while (end >= 0) {
          deliver(rest.slice(0, end), sink);
          rest = rest.slice(end + 2);
          end = rest.indexOf('\n\n');
        }
      }
    } catch (thrown) {
      // An answer that ends what this host may do; every other failure is the end of the stream and no more.
      if (thrown instanceof AlterError && thrown.code === 'host_inactive') sink.onEnded(thrown);
    } finally {
      response?.destroy();
    }
  }

  async #opened(lent: LentWire): Promise<LentMaterial> {
    const { opener, vaultId, hostId } = this.#options;
    const facts = {
      ...{ vaultId, hostId, grantId: lent.grant_id, credentialId: lent.credential_id, version: lent.version },
      ...{ revision: lent.revision, expiresAt: lent.expires_at },
    };
    const material = await openMaterial(opener, facts, lent.sealed);
    return { grantId: lent.grant_id, material, leaseMs: lent.expires_at - lent.issued_at };
  }
}

/** One event. What can't be read makes the host fetch the whole view. */
function deliver(text: string, sink: EventSink): void {
  const lines = text.split('\n');
  const member = (name: string): string => lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2) ?? '';
  const kind = member('event');
  try {
    if (kind === 'ping') sink.onPing();
    if (kind === 'reset') sink.onReset();
    if (kind === 'ended') sink.onEnded(refusalOf(403, member('data')));
    if (kind !== 'changed') return;
    const { epoch, from, digest, changes } = JSON.parse(member('data')) as Record<string, unknown>;
    if (typeof epoch !== 'number' || typeof from !== 'string' || typeof digest !== 'string' || !Array.isArray(changes))
      throw new TypeError('not a change');
    sink.onChanged({ epoch, from, digest, changes: changes.map(readWireChange) });
  } catch {
    sink.onReset();
  }
}
