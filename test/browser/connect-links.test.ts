/**
 * Links that can't be used, and pages that may not take part, in Chromium with Alter's widget as it is published. The time of the sessions is the
 * tests'; consent itself is in connect-consent.test.ts.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CONNECT_SESSION_MS } from '../../src/vault/connect-sessions.ts';
import { findClient } from '../helpers/clients.ts';
import { KNOWN, type PageRig, startPages } from '../integration/web/support.ts';
import { type Application, startApplication } from './support/application.ts';
import { startBrowser, type TestBrowser } from './support/browser.ts';
import { heardBy, openApplication, openPopup, type Session, told } from './support/widget.ts';

const chromium = findClient('chromium');

describe.runIf(chromium !== null)('the Connect page in Chromium', { timeout: 60_000 }, () => {
  let rig: PageRig;
  let application: Application;
  let stranger: Application;
  let browser: TestBrowser;

  beforeAll(async () => {
    [rig, application, stranger] = await Promise.all([startPages(), startApplication(), startApplication()]);
    browser = await startBrowser(chromium as string);
  });
  afterAll(async () => {
    await browser?.close();
    await Promise.all([rig, application, stranger].map((each) => each?.close()));
  });

  const session = async (change = {}): Promise<Session> => ({
    session_token: await rig.token({ allowedOrigin: application.origin, ...change }),
    base_url: rig.server.origin,
  });

  it('says that a link has expired, and tells the application when the person goes back', async () => {
    const made = await session();
    rig.clock.now += CONNECT_SESSION_MS;
    const page = await openApplication(await browser.person(), application, made);
    const popup = await openPopup(page);
    await popup.getByRole('heading', { name: 'This link has expired' }).waitFor();
    expect(await popup.getByRole('alert').count()).toBe(1);
    await popup.getByRole('button', { name: 'Go back' }).click();
    expect(await told(page)).toMatchObject({ what: 'error', value: { code: 'session_expired' } });
    await page.close();
  });

  it('says that a link was used, keeps the token out of the address bar, and goes on when the first page is loaded again', async () => {
    const made = await session();
    const first = await browser.person();
    const link = `${made.base_url}/sdk/oauth/connect#session=${made.session_token}`;
    await first.goto(link);
    await first.getByRole('button', { name: 'Continue to files' }).waitFor();
    expect(first.url()).toBe(`${made.base_url}/sdk/oauth/connect`);
    await first.reload();
    await first.getByRole('button', { name: 'Continue to files' }).waitFor();
    const second = await first.context().newPage();
    await second.goto(link);
    await second.getByRole('heading', { name: 'This link was used already' }).waitFor();
    // Another tab has no ticket of the first one.
    await second.goto(`${made.base_url}/sdk/oauth/connect`);
    await second.getByRole('heading', { name: 'This link is not known' }).waitFor();
    await Promise.all([first.close(), second.close()]);
  });

  it('tells a page of another origin nothing, although it opened the popup', async () => {
    const made = await session();
    const page = await openApplication(await browser.person(), stranger, made);
    const popup = await openPopup(page);
    await popup.getByRole('button', { name: 'Cancel' }).click();
    await popup.getByRole('heading', { name: 'Nothing more was connected' }).waitFor();
    // The popup has posted by now; a message that were delivered would be there after another one of the same way.
    await popup.evaluate(() =>
      (globalThis as unknown as { opener: { postMessage(m: string, o: string): void } }).opener.postMessage('after', '*'),
    );
    await page.waitForFunction(() =>
      (globalThis as unknown as { heard: readonly { value: unknown }[] }).heard.some((each) => each.value === 'after'),
    );
    expect(await heardBy(page)).toEqual([{ what: 'message', value: 'after' }]);
    await popup.close();
    expect(await told(page)).toMatchObject({ what: 'exit' });
    await page.close();
  });

  it('tells the application that the person cancelled', async () => {
    const page = await openApplication(await browser.person(), application, await session());
    const popup = await openPopup(page);
    await popup.getByRole('button', { name: 'Cancel' }).click();
    expect(await told(page)).toMatchObject({ what: 'error', value: { code: 'access_denied' } });
    await page.close();
  });

  it('lets a person whom the link knows use their account with one click, and never leaves for the provider', async () => {
    const page = await openApplication(await browser.person(), application, await session({ user: KNOWN }));
    const popup = await openPopup(page);
    await popup.getByText(`You have connected ${KNOWN.name} before.`).waitFor();
    expect(await popup.getByRole('button', { name: 'Ask files again' }).count()).toBe(1);
    const before = rig.begun.length;
    await popup.getByRole('button', { name: `Use ${KNOWN.name}` }).click();
    expect(await told(page)).toMatchObject({ what: 'success', value: [{ grant_id: 'g-known', operation: 'creation' }] });
    expect(rig.begun.length).toBe(before);
    await page.close();
  });

  it('is shown in no frame, and answers no script of another page (S-78)', async () => {
    const made = await session();
    const page = await browser.person();
    await page.goto(stranger.origin);
    const got = await page.evaluate(
      async ([base, token]) => {
        const send = (path: string, init: object) =>
          fetch(`${base}${path}`, init as RequestInit).then(
            () => 'answered',
            () => 'refused',
          );
        const json = {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ session_token: token }),
        };
        return [
          await send('/sdk/oauth/connect', {}),
          await send('/sdk/oauth/connect/redeem', json),
          await send('/sdk/oauth/connect/redeem', { ...json, headers: {}, mode: 'no-cors' }),
        ];
      },
      [made.base_url, made.session_token] as const,
    );
    // The last one is sent, and refused by the listener; its page may not even know that there was an answer. The token is still good.
    expect(got).toEqual(['refused', 'refused', 'refused']);
    await page.evaluate(
      ([base, token]) => {
        const { document } = globalThis as unknown as {
          document: { createElement(tag: string): { src: string }; body: { append(e: unknown): void } };
        };
        const frame = document.createElement('iframe');
        frame.src = `${base}/sdk/oauth/connect#session=${token}`;
        document.body.append(frame);
      },
      [made.base_url, made.session_token] as const,
    );
    const framed = await page.waitForResponse((response) => response.url().startsWith(`${made.base_url}/sdk/oauth/connect`));
    expect(framed.status()).toBe(403);
    expect((await rig.ask('redeem', { session_token: made.session_token })).status).toBe(200);
    await page.close();
  });

  it('can be used with the keyboard alone, by names that a screen reader speaks', async () => {
    const page = await browser.person();
    const made = await session({ providers: ['files', 'mail'], maxLifetimeMs: 3 * 3_600_000, defaultLifetimeMs: 3_600_000 });
    await page.goto(`${made.base_url}/sdk/oauth/connect#session=${made.session_token}`);
    await page.getByRole('heading', { name: 'What would you connect?' }).waitFor();
    await page.keyboard.press('Tab');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Connect mail to bot' }).waitFor();
    const needed = page.getByRole('checkbox', { name: 'Read what is there' });
    expect([await needed.isChecked(), await needed.isDisabled()]).toEqual([true, true]);
    await page.keyboard.press('Tab');
    await page.keyboard.press('Space');
    expect(await page.getByRole('checkbox', { name: 'Change what is there' }).isChecked()).toBe(false);
    const lifetime = page.getByRole('combobox', { name: 'For how long' });
    expect(await lifetime.locator('option').allTextContents()).toEqual(['1 hour', '3 hours']);
    await page.keyboard.press('Tab');
    await page.keyboard.press('ArrowDown');
    rig.begun.length = 0;
    await page.route('https://provider.test/**', (route) => route.fulfill({ body: 'a provider' }));
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await page.waitForURL('https://provider.test/**');
    expect(rig.begun).toMatchObject([
      { provider: 'mail', scopes: ['read'], restrictions: { expiresAt: rig.clock.now + 3 * 3_600_000 } },
    ]);
    await page.close();
  });
});
