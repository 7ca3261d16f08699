/**
 * Chromium, driven from outside, on a fresh profile. Names of the tests' hosts lead to loopback, and nothing else leads anywhere.
 * A machine without Chromium runs no browser test; `test/e2e/present.test.ts` names and counts it among the clients that are absent.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BrowserContext, chromium, type Page } from 'playwright-core';

export interface TestBrowser {
  readonly context: BrowserContext;
  page(): Promise<Page>;
  close(): Promise<void>;
}

export interface BrowserOptions {
  readonly executablePath: string;
  /** `host` to the port on loopback that plays it. */
  readonly hosts: Readonly<Record<string, number>>;
  /** A small touch screen: the widget then leaves the page in place of opening a popup. */
  readonly isPhone?: boolean;
  readonly colorScheme?: 'light' | 'dark';
}

export async function startBrowser(options: BrowserOptions): Promise<TestBrowser> {
  const profile = mkdtempSync(join(tmpdir(), 'alterd-chromium-'));
  const rules = Object.entries(options.hosts).map(([host, port]) => `MAP ${host} 127.0.0.1:${port}`);
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: options.executablePath,
    headless: true,
    // The tests' own authority signs for the provider; nothing real can be reached.
    ignoreHTTPSErrors: true,
    colorScheme: options.colorScheme ?? 'light',
    ...(options.isPhone
      ? {
          viewport: { width: 390, height: 780 },
          hasTouch: true,
          isMobile: true,
          userAgent: 'Mozilla/5.0 (Linux; Android 15) Mobile',
        }
      : { viewport: { width: 500, height: 700 } }),
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
  context.setDefaultTimeout(15_000);
  return {
    context,
    page: () => context.newPage(),
    close: async () => {
      await context.close();
      rmSync(profile, { recursive: true, force: true });
    },
  };
}
