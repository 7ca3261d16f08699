/** The ways of `alterd connect`: by browser, by paste, by a code on another device, or by what the operator brings. */
import { setTimeout as wait } from 'node:timers/promises';
import { apiPath } from '../../api/client.ts';
import type { BegunView, ConnectedView, DeviceView } from '../../api/connect.ts';
import { AlterError } from '../../domain/errors.ts';
import type { Cli } from '../cli.ts';
import { type FieldSource, readFields } from '../secret-input.ts';
import { openBrowser } from './browser.ts';
import { CALLBACK_PATH, listenOnLoopback, queryOf, type RedirectQuery } from './loopback.ts';

/** The body of every request of /v1/connect. */
export type Wanted = Readonly<Record<string, unknown>>;

export interface BrowserFlags {
  readonly browser: boolean;
  readonly port: number;
}

const ADDRESS = { name: 'address', label: 'Address', secret: true, pattern: null };

const complete = (cli: Cli, query: RedirectQuery): Promise<ConnectedView> =>
  cli.client().send<ConnectedView>(apiPath('connect', 'complete'), query);

/** Alone on its line, so that it can be selected whole. */
function showAddress(cli: Cli, words: string, begun: BegunView): void {
  cli.output.note(words);
  cli.output.note(`  ${begun.authorize_url}`);
}

const stateOf = (begun: BegunView): string => new URL(begun.authorize_url).searchParams.get('state') ?? '';

export async function connectByBrowser(cli: Cli, wanted: Wanted, { browser, port }: BrowserFlags): Promise<ConnectedView> {
  const loopback = await listenOnLoopback(port);
  try {
    const begun = await cli
      .client()
      .send<BegunView>(apiPath('connect', 'begin'), { ...wanted, redirect_uri: loopback.redirectUri });
    showAddress(cli, 'Consent in a browser of this machine:', begun);
    cli.output.note(`Waiting for it to come back to ${loopback.redirectUri} …`);
    if (browser) openBrowser(begun.authorize_url, cli.env);
    const waitMs = Date.parse(begun.expires_at) - Date.now();
    return await loopback.once(stateOf(begun), waitMs, (query) => complete(cli, query));
  } finally {
    loopback.close();
  }
}

/** For a browser on another machine: its last address, which leads nowhere, is pasted here. */
export async function connectByPaste(cli: Cli, wanted: Wanted, port: number): Promise<ConnectedView> {
  const redirectUri = `http://127.0.0.1:${port === 0 ? 1 : port}${CALLBACK_PATH}`;
  const begun = await cli.client().send<BegunView>(apiPath('connect', 'begin'), { ...wanted, redirect_uri: redirectUri });
  showAddress(cli, 'Consent in any browser:', begun);
  cli.output.note(`It ends at an address that begins with ${redirectUri} and shows no page. Paste that whole address here.`);
  // In the dark at a terminal: the code in it is good until it is used.
  const { address } = await readFields([ADDRESS], new Map([[ADDRESS.name, { from: 'stdin' }]]));
  const pasted = (address ?? '').trim();
  if (!URL.canParse(pasted)) {
    await cli.client().remove(apiPath('connect', begun.flow_id));
    throw new AlterError('invalid_input', { problems: ['what was pasted is no address'] });
  }
  const query = queryOf(new URL(pasted).searchParams);
  // SECURITY: an address that somebody else sent carries somebody else's code.
  if (query.state !== stateOf(begun)) {
    await cli.client().remove(apiPath('connect', begun.flow_id));
    throw new AlterError('connect_failed', { problem: 'state_mismatch', reason: 'the address belongs to another consent' });
  }
  return complete(cli, query);
}

export async function connectByDevice(cli: Cli, wanted: Wanted): Promise<ConnectedView> {
  const begun = await cli.client().send<DeviceView>(apiPath('connect', 'device'), wanted);
  cli.output.note(`On any device, open ${begun.verification_uri} and enter the code ${begun.user_code}`);
  if (begun.verification_uri_complete !== null) cli.output.note(`(or directly: ${begun.verification_uri_complete})`);
  let intervalMs = begun.interval_ms;
  for (;;) {
    await wait(intervalMs);
    const poll = await cli
      .client()
      .send<({ status: 'connected' } & ConnectedView) | { status: 'pending'; interval_ms: number }>(
        apiPath('connect', 'device', begun.flow_id, 'poll'),
      );
    if (poll.status === 'connected') {
      const { status: _connected, ...view } = poll;
      return view;
    }
    intervalMs = poll.interval_ms;
  }
}

export interface ImportFlags {
  readonly importRefreshToken?: boolean;
  readonly clientCredentials?: boolean;
  readonly clientId?: string;
  readonly clientSecretFile?: string;
  readonly serviceAccount?: string;
  readonly subjectTokenFile?: string;
  readonly appKey?: string;
  readonly installation?: string;
}

interface ImportPlan {
  readonly flow: string;
  readonly fields: Readonly<Record<string, FieldSource>>;
}

/** Which import the flags ask for; null for none. @throws AlterError invalid_input when they ask for several */
export function importPlanOf(flags: ImportFlags): ImportPlan | null {
  const plans: ImportPlan[] = [];
  if (flags.importRefreshToken === true) plans.push({ flow: 'refresh_token', fields: { refresh_token: { from: 'stdin' } } });
  if (flags.clientCredentials === true) plans.push({ flow: 'client_credentials', fields: ownClientOf(flags) });
  else if (flags.clientId !== undefined || flags.clientSecretFile !== undefined)
    throw new AlterError('invalid_input', { problems: ['--client-id and --client-secret-file belong to --client-credentials'] });
  if (flags.serviceAccount !== undefined)
    plans.push({ flow: 'jwt_bearer', fields: { service_account: { from: 'file', path: flags.serviceAccount } } });
  if (flags.subjectTokenFile !== undefined)
    plans.push({ flow: 'token_exchange', fields: { subject_token: { from: 'file', path: flags.subjectTokenFile } } });
  if (flags.appKey !== undefined) {
    if (flags.installation === undefined)
      throw new AlterError('invalid_input', { problems: ['--app-key needs --installation ID'] });
    plans.push({
      flow: 'github_app',
      fields: {
        private_key: { from: 'file', path: flags.appKey },
        installation_id: { from: 'argument', value: flags.installation },
      },
    });
  }
  if (plans.length > 1) throw new AlterError('invalid_input', { problems: ['these options are different ways; choose one'] });
  return plans[0] ?? null;
}

/** The client of a connection that brings its own; else the one that is registered for the provider is used. */
function ownClientOf({ clientId, clientSecretFile }: ImportFlags): ImportPlan['fields'] {
  if (clientId === undefined) return {};
  return {
    client_id: { from: 'argument', value: clientId },
    client_secret: clientSecretFile === undefined ? { from: 'stdin' } : { from: 'file', path: clientSecretFile },
  };
}

export async function connectByImport(cli: Cli, wanted: Wanted, { flow, fields }: ImportPlan): Promise<ConnectedView> {
  const names = Object.keys(fields);
  const inputs = await readFields(
    names.map((name) => ({
      name,
      label: name.replaceAll('_', ' '),
      secret: name !== 'installation_id' && name !== 'client_id',
      pattern: null,
    })),
    new Map(Object.entries(fields)),
  );
  return cli.client().send<ConnectedView>(apiPath('connect', 'import'), { ...wanted, flow, inputs });
}
