/**
 * A person gives consent in Chromium: Alter's widget as it is published on an application's page, alterd's Connect page, and an authorization server
 * with its own screens. Afterwards the agent calls the API through alterd, which alone holds the token.
 */
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findClient } from '../helpers/clients.ts';
import { startBrowser, type TestBrowser } from './support/browser.ts';
import { type Stage, startStage } from './support/stage.ts';
import { heardBy, openApplication, openPopup, told } from './support/widget.ts';

const chromium = findClient('chromium');

interface GrantView {
  readonly id: string;
  readonly label: string;
  readonly agent: string | null;
  readonly methods: readonly string[] | null;
  readonly expires_at: string | null;
}

describe.runIf(chromium !== null)('consent in Chromium', { timeout: 60_000 }, () => {
  let stage: Stage;
  let browser: TestBrowser;
  let agent: Awaited<ReturnType<Stage['daemon']['agent']>>;

  beforeAll(async () => {
    stage = await startStage();
    agent = await stage.daemon.agent('bot');
    browser = await startBrowser(chromium as string, stage.hosts);
  });
  afterAll(async () => {
    await browser?.close();
    await stage?.close();
  });

  const grants = async (): Promise<readonly GrantView[]> =>
    (await stage.daemon.api<{ grants: GrantView[] }>('GET', '/v1/grants')).grants;
  const actions = async (): Promise<readonly string[]> =>
    (await stage.daemon.api<{ entries: { action: string }[] }>('GET', '/v1/audit?limit=200')).entries.map(({ action }) => action);

  it('connects by popup: the application hears of the grant, the agent uses it, and the token is nowhere else', async () => {
    const page = await openApplication(
      await browser.person(),
      stage.application,
      await stage.session({
        agent: 'bot',
        grant_policy: { max_ttl_seconds: 7_200 },
        requested_grant: { label: 'of-ann', methods: ['GET'] },
      }),
    );
    const popup = await openPopup(page);
    await popup.getByRole('heading', { name: 'Connect Files to bot' }).waitFor();
    await popup.getByRole('checkbox', { name: 'Change and delete your files' }).uncheck();
    await popup.getByRole('combobox', { name: 'For how long' }).selectOption('1 hour');
    const before = Date.now();
    await popup.getByRole('button', { name: 'Continue to Files' }).click();
    await logIn(popup, 'ann');
    expect(await popup.locator('body').textContent()).not.toContain('files.write');
    await popup.getByRole('button', { name: 'Continue' }).click();
    const heard = await told(page);
    const [grant] = await grants();
    expect(heard).toMatchObject({
      what: 'success',
      value: [
        {
          grant_id: grant?.id,
          provider: 'files',
          provider_name: 'Files',
          account_identifier: 'ann',
          operation: 'creation',
          status: 'active',
          scopes: expect.arrayContaining(['files.read']),
        },
      ],
    });
    expect(popup.isClosed()).toBe(true);
    expect(grant).toMatchObject({ label: 'of-ann', agent: 'bot', methods: ['GET'] });
    const lifeMs = Date.parse(grant?.expires_at as string) - before;
    expect([lifeMs > 3_590_000, lifeMs < 3_660_000]).toEqual([true, true]);
    const token = await stage.call(agent.proxyUrl);
    expect(token).toMatch(/^Bearer \S{20,}$/);
    const told_ = JSON.stringify([
      heard,
      await heardBy(page),
      await stage.daemon.api('GET', '/v1/audit?limit=200'),
      stage.daemon.logged,
    ]);
    expect(told_).not.toContain(token?.slice('Bearer '.length));
    expect(await actions()).toEqual(
      expect.arrayContaining(['connect.session_created', 'connect.session_redeemed', 'connect.session_completed']),
    );
    await page.close();
  });

  it('connects by a visit of the full page on a phone, and comes back to the application', async () => {
    const page = await openApplication(
      await browser.person('phone'),
      stage.application,
      await stage.session({ agent: 'bot', requested_grant: { label: 'of-bob' } }),
    );
    const logged: Promise<unknown>[] = [];
    page.on('console', (message) => {
      if (message.text().includes('redirect return')) logged.push(...message.args().map((each) => each.jsonValue()));
    });
    await page.click('#connect');
    await page.getByRole('button', { name: 'Continue to Files' }).click();
    await logIn(page, 'bob');
    await page.getByRole('button', { name: 'Continue' }).click();
    await page.waitForURL(`${stage.application.origin}/**`);
    // The widget has read its parameters, and put its own address back.
    await page.waitForFunction(
      () => (globalThis as unknown as { sessionStorage: { length: number } }).sessionStorage.length === 0,
    );
    const grant = (await grants()).find(({ label }) => label === 'of-bob');
    expect(await Promise.all(logged)).toContainEqual([
      expect.objectContaining({
        grant_id: grant?.id,
        provider: 'files',
        account_identifier: 'bob',
        operation: 'creation',
        status: 'active',
      }),
    ]);
    expect(page.url()).toBe(`${stage.application.origin}/`);
    await page.close();
  });

  it('says that consent was refused, stores nothing, and lets the person try again or stop', async () => {
    const before = (await grants()).length;
    const asked = stage.authorization.tokenRequests();
    const failed = (await actions()).filter((action) => action === 'connect.failed').length;
    const page = await openApplication(await browser.person(), stage.application, await stage.session({ agent: 'bot' }));
    const popup = await openPopup(page);
    await popup.getByRole('button', { name: 'Continue to Files' }).click();
    await popup.getByRole('link', { name: '[ Cancel ]' }).click();
    await popup.getByRole('heading', { name: 'You did not give consent' }).waitFor();
    expect(new URL(popup.url()).search).toBe('');
    await popup.getByRole('button', { name: 'Try again' }).click();
    await popup.getByRole('button', { name: 'Continue to Files' }).click();
    await popup.getByRole('link', { name: '[ Cancel ]' }).click();
    await popup.getByRole('button', { name: 'Stop here' }).click();
    expect(await told(page)).toMatchObject({ what: 'error', value: { code: 'access_denied' } });
    expect([(await grants()).length, stage.authorization.tokenRequests()]).toEqual([before, asked]);
    expect((await actions()).filter((action) => action === 'connect.failed')).toHaveLength(failed + 2);
    await page.close();
  });

  it('takes no answer to a consent that another page began, whoever sends it', async () => {
    const before = (await grants()).length;
    const theirs = await browser.person();
    const begun = await stage.session({ agent: 'bot' });
    await theirs.goto(`${begun.base_url}/sdk/oauth/connect#session=${begun.session_token}`);
    // Their answer is kept, as somebody would who means to lure another person with it.
    await theirs.route('**/sdk/oauth/connect/complete', (route) => route.abort());
    const answered = theirs.waitForRequest((request) => request.url().includes('/oauth/callback?'));
    await theirs.getByRole('button', { name: 'Continue to Files' }).click();
    await logIn(theirs, 'mallory');
    await theirs.getByRole('button', { name: 'Continue' }).click();
    const callback = (await answered).url();
    const made = await stage.session({ agent: 'bot' });
    const mine = await browser.person();
    await mine.goto(callback);
    await mine.getByRole('heading', { name: 'This link is not known' }).waitFor();
    await mine.goto(`${made.base_url}/sdk/oauth/connect#session=${made.session_token}`);
    await mine.getByRole('button', { name: 'Continue to Files' }).waitFor();
    await mine.goto(callback);
    await mine.getByRole('heading', { name: 'This answer belongs elsewhere' }).waitFor();
    expect((await grants()).length).toBe(before);
    await Promise.all([theirs.close(), mine.close()]);
  });

  it('tells a page of another origin nothing of what was connected', async () => {
    const page = await openApplication(
      await browser.person(),
      stage.application,
      await stage.session({
        agent: 'bot',
        allowed_origin: 'https://elsewhere.example.test',
        return_url: null,
        requested_grant: { label: 'of-eve' },
      }),
    );
    const popup = await openPopup(page);
    await popup.getByRole('button', { name: 'Continue to Files' }).click();
    await logIn(popup, 'eve');
    await popup.getByRole('button', { name: 'Continue' }).click();
    await popup.getByRole('heading', { name: 'Files is connected' }).waitFor();
    await popup.evaluate(() =>
      (globalThis as unknown as { opener: { postMessage(m: string, o: string): void } }).opener.postMessage('after', '*'),
    );
    await page.waitForFunction(() =>
      (globalThis as unknown as { heard: readonly { value: unknown }[] }).heard.some((each) => each.value === 'after'),
    );
    expect(await heardBy(page)).toEqual([{ what: 'message', value: 'after' }]);
    await Promise.all([popup.close(), page.close()]);
  });
});

/** The provider's own login screen. */
async function logIn(page: Page, name: string): Promise<void> {
  await page.locator('input[name=login]').fill(name);
  await page.locator('input[name=password]').fill('anything');
  await page.getByRole('button', { name: 'Sign-in' }).click();
  await page.getByRole('heading', { name: 'Authorize' }).waitFor();
}
