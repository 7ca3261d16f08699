/**
 * Chromium, driven from outside, on a profile of its own. Names of the tests' hosts lead to loopback, and nothing else leads anywhere.
 * A machine without Chromium runs no browser test; `test/e2e/present.test.ts` names and counts it among the clients that are absent.
 */
import { chromium, type Page } from 'playwright-core';

export interface TestBrowser {
  /** A person who was nowhere before: a window without cookies and storage. */
  person(kind?: 'desktop' | 'phone'): Promise<Page>;
  close(): Promise<void>;
}

const PHONE = {
  viewport: { width: 390, height: 780 },
  hasTouch: true,
  isMobile: true,
  userAgent: 'Mozilla/5.0 (Linux; Android 15) Mobile',
};

/** @param hosts the port on loopback that plays each host. */
export async function startBrowser(
  executablePath: string,
  hosts: Readonly<Record<string, number>> = {},
  colorScheme: 'light' | 'dark' = 'light',
): Promise<TestBrowser> {
  const rules = Object.entries(hosts).map(([host, port]) => `MAP ${host} 127.0.0.1:${port}`);
  const browser = await chromium.launch({
    executablePath,
    headless: true,
    args: [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      `--host-resolver-rules=${[...rules, 'MAP * ~NOTFOUND', 'EXCLUDE 127.0.0.1'].join(', ')}`,
    ],
  });
  return {
    person: async (kind = 'desktop') => {
      const context = await browser.newContext({
        // The tests' own authority signs for the provider; nothing real can be reached.
        ignoreHTTPSErrors: true,
        colorScheme,
        ...(kind === 'phone' ? PHONE : { viewport: { width: 500, height: 700 } }),
      });
      context.setDefaultTimeout(20_000);
      return context.newPage();
    },
    close: () => browser.close(),
  };
}
