/**
 * ConnectFlows in memory: a flow that the daemon forgets at its end has cost nobody anything but a second click.
 * SECURITY: state, PKCE verifier, nonce, redirect address and client are fixed when a flow begins; its completion brings only what the
 * provider said, and is good once.
 */
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import type { ProviderSpec } from '../../config/provider.ts';
import { AlterError, type ConnectProblem } from '../../domain/errors.ts';
import { Secret } from '../../domain/secret.ts';
import { requireNone } from '../names.ts';
import { readAccount } from './account.ts';
import type {
  BegunDeviceFlow,
  BegunFlow,
  ConnectedGrant,
  ConnectFlows,
  ConnectRequest,
  DevicePoll,
  ImportRequest,
  KnownAccount,
  RedirectAnswer,
  RedirectRequest,
} from './connect-flows.ts';
import type { Connections, Consent } from './connections.ts';
import { publicFieldsOf, scopesToAsk } from './consent-input.ts';
import { type DeviceFlow, pollDeviceOnce, startDevice } from './device-flow.ts';
import { oauthOf, type PublicFields, parametersOf } from './endpoints.ts';
import { checkIdToken, issuerOf } from './id-token.ts';
import type { SiblingGrants, SiblingRequest } from './sibling-grants.ts';
import { sourceOf } from './sources/all.ts';
import { type TokenAnswer, TokenFailure } from './token-answer.ts';
import type { OAuthClient, TokenClient } from './token-client.ts';
import type { TokenClients } from './token-clients.ts';

const FLOW_LIFE_MS = 10 * 60_000;
const MOST_FLOWS = 1_000;
const OWN_CLIENT = ['client_id', 'client_secret'] as const;

interface Begun {
  readonly id: string;
  readonly request: ConnectRequest;
  readonly spec: ProviderSpec;
  readonly fields: PublicFields;
  readonly scopes: readonly string[];
  readonly client: TokenClient;
  readonly expiresAt: number;
}

interface RedirectFlow extends Begun {
  readonly state: string;
  readonly verifier: Secret | null;
  readonly nonce: string | null;
  readonly redirectUri: string;
}

export interface FlowsParts {
  readonly clients: TokenClients;
  readonly connections: Connections;
  readonly siblings: SiblingGrants;
  readonly now: () => number;
}

const unguessable = (): string => randomBytes(32).toString('base64url');

export class EmbeddedConnectFlows implements ConnectFlows {
  readonly #parts: FlowsParts;
  readonly #redirects = new Map<string, RedirectFlow>();
  readonly #devices = new Map<string, Begun & DeviceFlow>();

  constructor(parts: FlowsParts) {
    this.#parts = parts;
  }

  async begin(request: RedirectRequest): Promise<BegunFlow> {
    requireNone([redirectProblem(request.redirectUri)]);
    const begun = this.#prepare(request, 'authorization_code');
    const oauth = oauthOf(begun.spec);
    if (oauth.authorizeUrl === null) throw notOffered(begun.spec, 'a page to consent on');
    const flow: RedirectFlow = {
      ...begun,
      state: unguessable(),
      verifier: oauth.pkce === 'unsupported' ? null : new Secret(unguessable()),
      nonce: oauth.issuer === null ? null : unguessable(),
      redirectUri: request.redirectUri,
    };
    this.#redirects.set(flow.state, flow);
    return {
      flowId: flow.id,
      providerId: flow.spec.slug,
      authorizeUrl: authorizeUrlOf(flow, begun.client.endpoint(oauth.authorizeUrl)),
      expiresAt: flow.expiresAt,
    };
  }

  async complete(answer: RedirectAnswer): Promise<ConnectedGrant> {
    const flow = this.#redirects.get(answer.state);
    // SECURITY: used up before anything else, so that no answer can be tried twice.
    this.#redirects.delete(answer.state);
    if (flow === undefined) throw failed(undefined, 'state_mismatch', 'the answer belongs to no consent that was begun here');
    const { slug } = flow.spec;
    if (flow.expiresAt <= this.#parts.now()) throw failed(slug, 'expired', 'the consent took longer than ten minutes');
    const { issuer } = oauthOf(flow.spec);
    // SECURITY: RFC 9207: an answer of another authorization server, played into this flow, would carry its code to this one.
    if (issuer !== null && answer.iss !== undefined && answer.iss !== issuerOf(flow.client, issuer))
      throw failed(slug, 'state_mismatch', 'the answer came from another issuer');
    if (answer.error !== undefined) {
      if (answer.error === 'access_denied') throw failed(slug, 'consent_denied', 'the consent was refused');
      throw failed(slug, 'provider_refused', `the provider answered ${codeText(answer.error)}`);
    }
    const { code } = answer;
    if (code === undefined || code === '') throw failed(slug, 'provider_refused', 'the provider sent no code');
    return this.#finish(flow, 'authorization_code', flow.nonce, new Map(), () =>
      flow.client.token({
        ...parametersOf(oauthOf(flow.spec).tokenParams, flow.fields),
        grant_type: 'authorization_code',
        code,
        redirect_uri: flow.redirectUri,
        ...(flow.verifier === null ? {} : { code_verifier: flow.verifier.reveal() }),
      }),
    );
  }

  async beginDevice(request: ConnectRequest): Promise<BegunDeviceFlow> {
    const begun = this.#prepare(request, 'device_code');
    if (oauthOf(begun.spec).deviceUrl === null) throw notOffered(begun.spec, 'device codes');
    const started = await explained(begun.spec.slug, () => startDevice(begun.client, begun.scopes, this.#parts.now()));
    const flow = { ...begun, ...started };
    this.#devices.set(flow.id, flow);
    const { userCode, verificationUri, verificationUriComplete, intervalMs, expiresAt } = started;
    return {
      flowId: flow.id,
      providerId: flow.spec.slug,
      userCode,
      verificationUri,
      ...(verificationUriComplete === null ? {} : { verificationUriComplete }),
      intervalMs,
      expiresAt,
    };
  }

  async pollDevice(flowId: string): Promise<DevicePoll> {
    const flow = this.#devices.get(flowId);
    if (flow === undefined) throw failed(undefined, 'state_mismatch', 'there is no such device flow, or it has ended');
    const now = this.#parts.now();
    if (flow.expiresAt <= now) {
      this.#devices.delete(flowId);
      throw failed(flow.spec.slug, 'expired', 'the code was not entered in time');
    }
    if (flow.asking || now < flow.nextPollAt) return { status: 'pending', intervalMs: flow.intervalMs };
    try {
      const answer = await pollDeviceOnce(flow.client, flow, () => this.#parts.now());
      if (answer === null) return { status: 'pending', intervalMs: flow.intervalMs };
      this.#devices.delete(flowId);
      return { status: 'connected', grant: await this.#finish(flow, 'device_code', null, new Map(), async () => answer) };
    } catch (thrown) {
      const isOver = !(thrown instanceof TokenFailure) || thrown.kind !== 'transient';
      if (!isOver) return { status: 'pending', intervalMs: flow.intervalMs };
      this.#devices.delete(flowId);
      throw explain(flow.spec.slug, thrown);
    }
  }

  async connectWith(request: ImportRequest): Promise<ConnectedGrant> {
    const begun = this.#prepare(request, request.flow, request.inputs);
    const source = sourceOf(request.flow);
    const needed = [
      ...(request.flow === 'refresh_token' ? ['refresh_token'] : source.inputs),
      ...(oauthOf(begun.spec).ownClient === true ? OWN_CLIENT : []),
    ];
    requireNone([
      ...needed.filter((name) => !request.inputs.has(name)).map((name) => `inputs.${name}: is missing`),
      ...[...request.inputs.keys()].filter((name) => !needed.includes(name)).map((name) => `inputs.${name}: is not used here`),
    ]);
    const context = { client: begun.client, material: request.inputs, scopes: begun.scopes };
    if (!source.mayRenew(context)) throw notOffered(begun.spec, 'this way of connecting');
    // The id of a client is no secret, and stands among the public fields.
    const sealed = new Map([...request.inputs].filter(([name]) => name !== 'client_id'));
    return this.#finish(begun, request.flow, null, sealed, () => source.next(context));
  }

  knownAccount(request: ConnectRequest): KnownAccount | null {
    return this.#parts.siblings.find(this.#sibling(request));
  }

  async approveKnown(request: ConnectRequest): Promise<ConnectedGrant> {
    return this.#parts.siblings.create(this.#sibling(request));
  }

  /** @throws AlterError not_found, invalid_input */
  #sibling(request: ConnectRequest): SiblingRequest {
    const spec = this.#parts.clients.providerOf(request.provider);
    const scopes = scopesToAsk(request.scopes ?? [], oauthOf(spec));
    return { request, spec, scopes, fields: publicFieldsOf(spec, request.fields ?? {}) };
  }

  cancel(flowId: string): void {
    this.#devices.delete(flowId);
    for (const [state, flow] of this.#redirects) if (flow.id === flowId) this.#redirects.delete(state);
  }

  #prepare(request: ConnectRequest, flow: Consent['flow'], inputs: ReadonlyMap<string, Secret> = new Map()): Begun {
    const { clients, connections, now } = this.#parts;
    this.#sweep();
    const spec = clients.providerOf(request.provider);
    const oauth = oauthOf(spec);
    const before = request.grantId === undefined ? {} : connections.fieldsOf(request.grantId, spec);
    const fields = publicFieldsOf(spec, { ...before, ...request.fields });
    connections.check(request, spec, flow, fields);
    const known = request.grantId === undefined ? undefined : connections.scopesOf(request.grantId, spec);
    const scopes = scopesToAsk(request.scopes ?? known ?? oauth.defaultScopes, oauth);
    const own = oauth.ownClient === true ? ownClientOf(spec, inputs) : null;
    const client = clients.forFlow(spec, flow, fields, request.allowPrivate === true, own);
    return { id: randomUUID(), request, spec, fields, scopes, client, expiresAt: now() + FLOW_LIFE_MS };
  }

  async #finish(
    { request, spec, fields, scopes, client }: Begun,
    flow: Consent['flow'],
    nonce: string | null,
    inputs: ReadonlyMap<string, Secret>,
    ask: () => Promise<TokenAnswer>,
  ): Promise<ConnectedGrant> {
    const found = await explained(spec.slug, async () => {
      const answer = await ask();
      const claims = await checkIdToken(client, answer.idToken, nonce);
      const isPersonal = flow === 'authorization_code' || flow === 'device_code' || flow === 'refresh_token';
      const account = isPersonal
        ? await readAccount(client, answer, claims)
        : { id: machineOf(flow, client, inputs), name: null };
      return { answer, account };
    });
    const { clientId } = client.parts.client;
    return this.#parts.connections.adopt({ request, spec, flow, clientId, fields, requestedScopes: scopes, inputs, ...found });
  }

  /** Forgets flows that ended; the oldest too, when somebody begins them by the thousand. */
  #sweep(): void {
    const now = this.#parts.now();
    for (const [state, flow] of this.#redirects) if (flow.expiresAt <= now) this.#redirects.delete(state);
    for (const [id, flow] of this.#devices) if (flow.expiresAt <= now) this.#devices.delete(id);
    for (const flows of [this.#redirects, this.#devices])
      if (flows.size >= MOST_FLOWS) flows.delete((flows.keys().next() as { value: string }).value);
  }
}

/** @throws AlterError invalid_input */
function ownClientOf(spec: ProviderSpec, inputs: ReadonlyMap<string, Secret>): OAuthClient {
  const [id, secret] = OWN_CLIENT.map((name) => inputs.get(name));
  requireNone([
    id === undefined || secret === undefined
      ? `provider: a connection of ${spec.slug} brings its own client: \`alterd connect ${spec.slug} --client-credentials --client-id ID\``
      : undefined,
    id === undefined || /^[!-~]{1,512}$/.test(id.reveal()) ? undefined : 'inputs.client_id: must be visible ASCII',
    secret === undefined || /^[ -~]{1,4096}$/.test(secret.reveal())
      ? undefined
      : 'inputs.client_secret: must be printable ASCII on one line',
  ]);
  return { clientId: (id as Secret).reveal(), secret: secret as Secret };
}

/** A machine has no account to look up: it is what it authenticates as. */
function machineOf(flow: Consent['flow'], client: TokenClient, inputs: ReadonlyMap<string, Secret>): string {
  const { clientId } = client.parts.client;
  if (flow === 'github_app') return `installation ${inputs.get('installation_id')!.reveal()}`;
  const input = inputs.get('service_account') ?? inputs.get('subject_token');
  if (input === undefined) return `client ${clientId}`;
  return `${flow} ${createHash('sha256').update(input.reveal()).digest('hex').slice(0, 16)}`;
}

function authorizeUrlOf(flow: RedirectFlow, endpoint: string): string {
  const { authorizeParams, clientIdParameter, scopeParameter, scopeSeparator } = oauthOf(flow.spec);
  const url = new URL(endpoint);
  const parameters: Record<string, string> = {
    ...authorizeParams,
    response_type: 'code',
    [clientIdParameter]: flow.client.parts.client.clientId,
    redirect_uri: flow.redirectUri,
    state: flow.state,
    ...(flow.scopes.length === 0 ? {} : { [scopeParameter]: flow.scopes.join(scopeSeparator) }),
    ...(flow.nonce === null ? {} : { nonce: flow.nonce }),
    ...(flow.verifier === null
      ? {}
      : {
          code_challenge: createHash('sha256').update(flow.verifier.reveal()).digest('base64url'),
          code_challenge_method: 'S256',
        }),
  };
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
  return url.href;
}

/** SECURITY: a code that comes back over plain HTTP may only cross this machine (RFC 8252 7.3). */
function redirectProblem(redirectUri: string): string | undefined {
  const url = URL.canParse(redirectUri) ? new URL(redirectUri) : null;
  const isLocal = url?.protocol === 'http:' && ['127.0.0.1', '[::1]', 'localhost'].includes(url.hostname);
  return (url?.protocol === 'https:' || isLocal) && url?.hash === '' && url.username === ''
    ? undefined
    : 'redirect_uri: must be https, or http on a loopback address, without a fragment';
}

const codeText = (raw: string): string => (/^[A-Za-z0-9_.-]{1,64}$/.test(raw) ? raw : 'an error');

const failed = (providerId: string | undefined, problem: ConnectProblem, reason: string): AlterError =>
  new AlterError('connect_failed', { ...(providerId === undefined ? {} : { provider_id: providerId }), problem, reason });

const notOffered = (spec: ProviderSpec, what: string): AlterError =>
  new AlterError('invalid_input', { problems: [`provider: ${spec.slug} offers no way for ${what}`] });

async function explained<T>(providerId: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    throw explain(providerId, thrown);
  }
}

/** What a token endpoint's failure means to who connects. */
function explain(providerId: string, thrown: unknown): unknown {
  if (!(thrown instanceof TokenFailure)) return thrown;
  const { code } = thrown;
  if (code === 'access_denied') return failed(providerId, 'consent_denied', 'the consent was refused');
  if (code === 'expired_token') return failed(providerId, 'expired', 'the code was not entered in time');
  const isNetwork = /^upstream_|^destination_refused$/.test(code);
  if (code === 'destination_refused')
    return failed(providerId, 'provider_unreachable', 'an endpoint of the provider has an address that may not be dialled');
  return failed(providerId, isNetwork ? 'provider_unreachable' : 'provider_refused', `the provider could not be used (${code})`);
}
