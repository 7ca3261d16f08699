// The two choices that a person makes: which provider, and what it may be used for. They show and report; they ask the server nothing.
import { element, show } from './elements.js';

/** @typedef {import('../view.ts').SessionView} SessionView */
/** @typedef {import('../view.ts').ProviderView} ProviderView */

/**
 * @param {SessionView} session
 * @param {{ readonly choose: (id: string) => void, readonly finish: () => void, readonly cancel: () => void }} on
 */
export function showPicker(session, on) {
  const isAny = session.providers.some((provider) => provider.connected !== null);
  show(
    isAny ? 'What else would you connect?' : 'What would you connect?',
    element('p', { class: 'quiet' }, whoAsks(session)),
    element(
      'ul',
      { class: 'rows' },
      ...session.providers.map((provider) =>
        element(
          'li',
          {},
          element(
            'button',
            { type: 'button', class: 'provider', disabled: provider.connected !== null, onclick: () => on.choose(provider.id) },
            element('span', { class: 'initial', 'aria-hidden': 'true' }, provider.name.slice(0, 1)),
            element('span', {}, provider.name, provider.connected === null ? null : element('small', {}, provider.connected)),
            provider.connected === null ? null : element('span', { class: 'tag good' }, 'connected'),
          ),
        ),
      ),
    ),
    element(
      'div',
      { class: 'buttons' },
      isAny
        ? element('button', { type: 'button', class: 'primary', onclick: on.finish }, 'That is all')
        : element('button', { type: 'button', onclick: on.cancel }, 'Cancel'),
    ),
  );
}

/**
 * @param {SessionView} session
 * @param {ProviderView} provider
 * @param {{ readonly back: (() => void) | null, readonly cancel: () => void, readonly go: (scopes: string[], lifetimeSeconds: number | null) => void, readonly use: (lifetimeSeconds: number | null) => void }} on
 */
export function showConsent(session, provider, on) {
  const { known } = provider;
  const lifetime = () => {
    const chosen = form.querySelector('select')?.value ?? '';
    return chosen === '' ? null : Number(chosen);
  };
  const form = element(
    'form',
    {
      onsubmit: (event) => {
        event.preventDefault();
        const chosen = [...form.querySelectorAll('input:checked')].map((box) => /** @type {HTMLInputElement} */ (box).value);
        on.go(chosen, lifetime());
      },
    },
    facts(session),
    known === null ? null : knownAccount(known, provider),
    scopes(session, provider),
    lifetimes(session),
    element(
      'div',
      { class: 'buttons' },
      known === null
        ? null
        : element('button', { type: 'button', class: 'primary', onclick: () => on.use(lifetime()) }, `Use ${known.account}`),
      known === null
        ? element('button', { type: 'submit', class: 'primary' }, `Continue to ${provider.name}`)
        : element('button', { type: 'submit' }, `Ask ${provider.name} again`),
      on.back === null ? null : element('button', { type: 'button', onclick: on.back }, 'Back'),
      element('button', { type: 'button', onclick: on.cancel }, 'Cancel'),
    ),
  );
  show(
    `Connect ${provider.name} ${session.is_reconnect ? 'again for' : 'to'} ${session.agent ?? 'your agents'}`,
    element(
      'p',
      { class: 'quiet' },
      `${whoAsks(session)} It never holds your password or a token: alterd keeps what ${provider.name} gives out.`,
    ),
    form,
  );
}

/** @param {SessionView} session */
const whoAsks = (session) => {
  if (session.agent !== null) return `The agent ${session.agent} will act for you, within what you allow here.`;
  // The grant may be anybody's, and says itself who uses it.
  return session.is_reconnect
    ? 'Whoever used the account goes on as before.'
    : 'Any agent of this installation will act for you, within what you allow here.';
};

/**
 * What one click gives: everything that the account was connected for, because its token is the one that is used.
 * @param {NonNullable<ProviderView['known']>} known
 * @param {ProviderView} provider
 */
const knownAccount = (known, provider) =>
  element(
    'div',
    { class: 'notice good' },
    element('p', {}, `You have connected ${known.account} before. It can be used without asking ${provider.name} again.`),
    known.scopes.length === 0 ? null : element('p', {}, `It may: ${known.scopes.join('; ')}.`),
  );

/** @param {SessionView} session */
function facts(session) {
  const rows = [
    ['Asked by', session.app ?? 'the operator of this alterd'],
    ...(session.user === null ? [] : [['For', session.user]]),
    ...(session.label === null ? [] : [['Label', session.label]]),
    ...session.restrictions.map((text) => ['Limited to', text]),
  ];
  return element(
    'dl',
    { class: 'facts' },
    ...rows.map(([name = '', value = '']) => element('div', {}, element('dt', {}, name), element('dd', {}, value))),
  );
}

/**
 * @param {SessionView} session
 * @param {ProviderView} provider
 */
function scopes(session, provider) {
  if (provider.scopes.length === 0) return null;
  return element(
    'fieldset',
    {},
    element('legend', {}, session.agent === null ? 'Your agents may' : `${session.agent} may`),
    element(
      'ul',
      { class: 'rows' },
      ...provider.scopes.map((scope) =>
        element(
          'li',
          {},
          element(
            'label',
            { class: 'scope' },
            element('input', { type: 'checkbox', value: scope.id, checked: scope.selected, disabled: scope.required }),
            element('span', {}, scope.words, scope.words === scope.id ? null : element('code', {}, scope.id)),
            scope.required ? element('span', { class: 'tag' }, 'needed') : null,
          ),
        ),
      ),
    ),
  );
}

/** @param {SessionView} session */
function lifetimes(session) {
  if (session.lifetimes.length === 0) return null;
  return element(
    'div',
    {},
    element('label', { class: 'name', for: 'lifetime' }, 'For how long'),
    element(
      'select',
      { id: 'lifetime' },
      ...session.lifetimes.map((choice) =>
        element(
          'option',
          { value: choice.seconds === null ? '' : String(choice.seconds), selected: choice.selected },
          choice.text,
        ),
      ),
    ),
  );
}
