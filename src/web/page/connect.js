// The Connect page. It trades the token of its link for a ticket, shows what is asked for, leaves for the provider, comes back, and tells the
// application. It never sees a provider's tokens. Its ticket lives in this tab's session storage; nothing is kept after the end.
import { element, foot, show, showBusy } from './elements.js';
import { showConsent, showPicker } from './views.js';

/** @typedef {import('../view.ts').SessionView} SessionView */
/** @typedef {import('../outcome.ts').Outcome} Outcome */
/** @typedef {{ readonly error: string, readonly message: string, readonly hint?: string, readonly outcome?: Outcome, readonly session?: SessionView }} Failure */

const TICKET = 'alterd_connect_ticket';
const CONNECT_PATH = '/sdk/oauth/connect';

/**
 * @param {'redeem' | 'view' | 'begin' | 'complete' | 'end'} action
 * @param {Readonly<Record<string, unknown>>} body
 * @returns {Promise<any>} what the server answers
 * @throws {Failure}
 */
async function ask(action, body) {
  let response;
  try {
    response = await fetch(`${CONNECT_PATH}/${action}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
      credentials: 'omit',
      redirect: 'error',
    });
  } catch {
    throw { error: 'server_unreachable', message: 'alterd does not answer. Is it still running?' };
  }
  const answer = await response
    .json()
    .catch(() => ({ error: 'server_error', message: 'alterd gave an answer that this page can not read.' }));
  if (!response.ok) throw answer;
  return answer;
}

const ticket = () => sessionStorage.getItem(TICKET) ?? '';

async function start() {
  const token = new URLSearchParams(location.hash.slice(1)).get('session');
  const query = location.search;
  const isBack = location.pathname !== CONNECT_PATH;
  // Neither the token nor the provider's code stays in the address bar or in the history.
  history.replaceState(null, '', isBack ? CONNECT_PATH : location.pathname);
  try {
    if (isBack) return await comeBack(query);
    if (token === null) return route((await ask('view', { ticket: ticket() })).session);
    showBusy('One moment …');
    const { ticket: fresh, session } = await ask('redeem', { session_token: token });
    sessionStorage.setItem(TICKET, fresh);
    route(session);
  } catch (failure) {
    showFailure(/** @type {Failure} */ (failure));
  }
}

/** @param {string} query what the provider sent along */
async function comeBack(query) {
  showBusy('Finishing …');
  const { session } = await ask('complete', { ticket: ticket(), query });
  await afterConnecting(session);
}

/** @param {SessionView} session */
async function afterConnecting(session) {
  if (session.providers.every((provider) => provider.connected !== null)) return finish(session);
  route(session);
}

/**
 * One provider needs no choice.
 * @param {SessionView} session
 */
function route(session) {
  foot(`alterd at ${location.host} · this page works until ${clock(session.expires_at)}`);
  const [only, another] = session.providers;
  if (only !== undefined && another === undefined && only.connected === null) consentTo(session, only.id);
  else
    showPicker(session, {
      choose: (id) => consentTo(session, id),
      finish: () => void finish(session),
      cancel: () => void leave(),
    });
}

/**
 * @param {SessionView} session
 * @param {string} id
 */
function consentTo(session, id) {
  const provider = session.providers.find((each) => each.id === id);
  if (provider === undefined) return;
  /**
   * @param {string} busy
   * @param {Readonly<Record<string, unknown>>} choice
   */
  const begin = async (busy, choice) => {
    showBusy(busy);
    try {
      const answer = await ask('begin', { ticket: ticket(), provider: id, ...choice });
      if (answer.authorization_url === undefined) await afterConnecting(answer.session);
      else location.assign(answer.authorization_url);
    } catch (failure) {
      showFailure(/** @type {Failure} */ (failure));
    }
  };
  showConsent(session, provider, {
    back: session.providers.length > 1 ? () => route(session) : null,
    cancel: () => void leave(),
    go: (scopes, lifetime) => void begin(`Going to ${provider.name} …`, { scopes, lifetime_seconds: lifetime }),
    use: (lifetime) => void begin('One moment …', { scopes: [], use_known: true, lifetime_seconds: lifetime }),
  });
}

/** @param {SessionView} session */
async function finish(session) {
  const { outcome } = await ask('end', { ticket: ticket() });
  sessionStorage.removeItem(TICKET);
  const connected = session.providers.filter((each) => each.connected !== null);
  const names = connected.map((each) => each.name).join(' and ');
  const accounts = connected.map((each) => each.connected).join(' and ');
  tell(outcome, `${names} ${connected.length === 1 ? 'is' : 'are'} connected`, accounts, 'You can close this window.');
}

/** The person ends it without connecting (more). */
async function leave() {
  try {
    const { outcome } = await ask('end', { ticket: ticket() });
    sessionStorage.removeItem(TICKET);
    tell(outcome, 'Nothing more was connected', null, 'You can close this window.');
  } catch (failure) {
    showFailure(/** @type {Failure} */ (failure));
  }
}

/**
 * Tells whoever waits: the page that opened this popup, or the one to return to.
 * SECURITY: the message is addressed to the one origin that the session names; a page of any other origin that opened this popup hears nothing.
 * @param {Outcome} outcome
 * @param {string} title
 * @param {string | null} good what went well
 * @param {string} text
 */
function tell(outcome, title, good, text) {
  const opener = /** @type {Window | null} */ (window.opener);
  const isPopup = opener !== null && outcome.target_origin !== null;
  if (!isPopup && outcome.return_url !== null) return location.replace(outcome.return_url);
  if (isPopup) opener.postMessage(outcome.message, /** @type {string} */ (outcome.target_origin));
  const { return_url: returnUrl } = outcome;
  // A popup is closed by the page that opened it; what follows is for whoever still sees it.
  foot(`alterd at ${location.host}`);
  show(
    title,
    good === null ? null : element('div', { class: 'notice good' }, element('p', {}, good)),
    element('p', { class: 'quiet' }, text),
    element(
      'div',
      { class: 'buttons' },
      returnUrl === null
        ? null
        : element('button', { type: 'button', class: 'primary', onclick: () => location.replace(returnUrl) }, 'Go back'),
      opener === null ? null : element('button', { type: 'button', onclick: () => window.close() }, 'Close this window'),
    ),
  );
}

/** @param {Failure} failure */
function showFailure(failure) {
  const { session, outcome } = failure;
  const title = TITLES[failure.error] ?? 'That did not work';
  show(
    title,
    element('div', { class: 'notice', role: 'alert' }, element('p', {}, failure.message)),
    failure.hint === undefined ? null : element('p', { class: 'quiet' }, failure.hint),
    element(
      'div',
      { class: 'buttons' },
      session === undefined
        ? null
        : element('button', { type: 'button', class: 'primary', onclick: () => route(session) }, 'Try again'),
      session === undefined ? null : element('button', { type: 'button', onclick: () => void leave() }, 'Stop here'),
      outcome === undefined || (window.opener === null && outcome.return_url === null)
        ? null
        : element(
            'button',
            { type: 'button', onclick: () => tell(outcome, title, null, 'You can close this window.') },
            'Go back',
          ),
    ),
  );
}

/** @type {Readonly<Record<string, string>>} */
const TITLES = {
  access_denied: 'You did not give consent',
  session_expired: 'This link has expired',
  session_used: 'This link was used already',
  session_unknown: 'This link is not known',
  state_mismatch: 'This answer belongs elsewhere',
  consent_expired: 'That took too long',
  account_mismatch: 'That was another account',
  provider_refused: 'The provider refused',
  provider_unavailable: 'The provider can not be reached',
  server_unreachable: 'alterd does not answer',
};

/** @param {string} iso */
const clock = (iso) => new Date(iso).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });

// A second link in the same popup changes the fragment alone, which loads nothing.
addEventListener('hashchange', () => void start());
void start();
