/** Opens a page in the person's browser, where there is one. It never waits for it and never fails: the address is printed anyway. */
import { spawn } from 'node:child_process';

export function openBrowser(url: string, env: NodeJS.ProcessEnv): void {
  const isDesktop = process.platform === 'darwin' || Boolean(env.DISPLAY) || Boolean(env.WAYLAND_DISPLAY) || Boolean(env.BROWSER);
  if (!isDesktop) return;
  const command = process.platform === 'darwin' ? 'open' : 'xdg-open';
  const child = spawn(command, [url], { stdio: 'ignore', detached: true, env });
  child.on('error', () => {});
  child.unref();
}
