// Makes elements from plain values. Text only ever becomes text: nothing here, and nothing that uses it, parses markup.

/**
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Readonly<Record<string, string | boolean | ((event: Event) => void)>>} attributes `on…` listens; true sets an attribute without a value
 * @param {...(Node | string | null)} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, '');
    else if (value !== false) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

/**
 * Shows these in place of what the page showed, and tells a screen reader and the keyboard where it begins.
 * @param {string} title
 * @param {...(Node | null)} children
 */
export function show(title, ...children) {
  const page = /** @type {HTMLElement} */ (document.getElementById('page'));
  const heading = element('h1', { tabindex: '-1' }, title);
  page.replaceChildren(heading, ...children.filter((child) => child !== null));
  document.title = `${title} · alterd`;
  heading.focus();
}

/** @param {string} text */
export function showBusy(text) {
  const page = /** @type {HTMLElement} */ (document.getElementById('page'));
  page.replaceChildren(element('div', { class: 'spinner', role: 'presentation' }), element('p', { class: 'quiet' }, text));
}

/** @param {string} text */
export function foot(text) {
  /** @type {HTMLElement} */ (document.getElementById('foot')).textContent = text;
}
