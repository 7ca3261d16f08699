/** An application's page in Chromium: opens the widget with a session, and reads what it heard. */
import type { Page } from 'playwright-core';
import type { Application, Heard } from './application.ts';

interface AppWindow {
  session: readonly [token: string, baseUrl: string];
  readonly heard: readonly Heard[];
}

export interface Session {
  readonly session_token: string;
  readonly base_url: string;
}

/** The application's page with a session in hand, before anything is clicked. */
export async function openApplication(page: Page, application: Application, session: Session): Promise<Page> {
  await page.goto(application.origin);
  await page.evaluate(
    (given) => {
      (globalThis as unknown as AppWindow).session = given;
    },
    [session.session_token, session.base_url] as const,
  );
  return page;
}

/** Clicks, as a person does: browsers open popups for nothing else. */
export async function openPopup(page: Page): Promise<Page> {
  const [popup] = await Promise.all([page.waitForEvent('popup'), page.click('#connect')]);
  return popup;
}

export const heardBy = (page: Page): Promise<readonly Heard[]> => page.evaluate(() => (globalThis as unknown as AppWindow).heard);

/** What the widget told the application, once it did. */
export async function told(page: Page): Promise<Heard> {
  await page.waitForFunction(() => (globalThis as unknown as AppWindow).heard.some((each) => each.what !== 'message'));
  return (await heardBy(page)).find((each) => each.what !== 'message') as Heard;
}
