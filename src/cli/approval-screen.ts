/**
 * `alterd approvals watch`: on a terminal, one card at a time with keys to decide; elsewhere a line of JSON for each change. Nothing is
 * ever decided without a key that was pressed for the card on the screen.
 */
import { emitKeypressEvents } from 'node:readline';
import type { ApprovalView } from '../api/approvals.ts';
import { apiPath } from '../api/client.ts';
import { toAlterError } from '../domain/errors.ts';
import { cardLines } from './approval-card.ts';
import type { Cli } from './cli.ts';
import { findUserSession } from './user-session.ts';

const FOR_A_WHILE_MS = 15 * 60_000;
const HELP = 'a approve once · t approve for 15 minutes · d deny · ←/→ other card · q quit';

export async function watchApprovals(cli: Cli): Promise<void> {
  const changes = await cli.client().lines<ApprovalView>(apiPath('approvals', 'watch'), {});
  if (process.stdout.isTTY !== true || process.stdin.isTTY !== true || cli.output.format !== 'table') {
    for await (const change of changes) cli.output.event(change, (each) => cardLines(each).join('\n'));
    return;
  }
  await new Screen(cli).run(changes);
}

class Screen {
  readonly #cli: Cli;
  /** In order of arrival. */
  readonly #pending = new Map<string, ApprovalView>();
  #shown: string | null = null;
  #message = '';

  constructor(cli: Cli) {
    this.#cli = cli;
  }

  async run(changes: AsyncIterable<ApprovalView>): Promise<void> {
    const { stdin, stdout } = process;
    emitKeypressEvents(stdin);
    stdin.setRawMode(true);
    stdin.resume();
    // The alternate screen: what was there before is there again afterwards.
    stdout.write('\u001b[?1049h\u001b[?25l');
    let quit = (): void => {};
    const ended = new Promise<void>((resolve) => (quit = resolve));
    const onKey = (_text: string | undefined, key: { readonly name?: string; readonly ctrl?: boolean }): void => {
      if (key.name === 'q' || (key.ctrl === true && key.name === 'c')) quit();
      else void this.#press(key.name ?? '');
    };
    stdin.on('keypress', onKey);
    try {
      this.#draw();
      await Promise.race([ended, this.#follow(changes)]);
    } finally {
      stdin.off('keypress', onKey);
      stdin.setRawMode(false);
      stdin.pause();
      stdout.write('\u001b[?25h\u001b[?1049l');
    }
  }

  async #follow(changes: AsyncIterable<ApprovalView>): Promise<void> {
    for await (const change of changes) {
      if (change.status === 'pending') this.#pending.set(change.id, change);
      else this.#pending.delete(change.id);
      this.#draw();
    }
  }

  async #press(key: string): Promise<void> {
    const id = this.#shown;
    if (key === 'left' || key === 'right') this.#move(key === 'right' ? 1 : -1);
    else if (id !== null && (key === 'a' || key === 't' || key === 'd')) {
      try {
        const verb = key === 'd' ? 'deny' : 'approve';
        await this.#cli.client().send(apiPath('approvals', id, verb), {
          user_session: findUserSession(this.#cli),
          for_ms: key === 't' ? FOR_A_WHILE_MS : undefined,
        });
        this.#message = `${id}: ${key === 'd' ? 'denied' : 'approved'}`;
      } catch (thrown) {
        this.#message = toAlterError(thrown).message;
      }
    }
    this.#draw();
  }

  #move(step: number): void {
    const ids = [...this.#pending.keys()];
    const at = ids.indexOf(this.#shown ?? '');
    this.#shown = ids[(at + step + ids.length) % Math.max(1, ids.length)] ?? null;
  }

  #draw(): void {
    // SECURITY: a card stays until it is over; a new one must not slip under a key that is about to be pressed.
    if (this.#shown === null || !this.#pending.has(this.#shown)) this.#shown = this.#pending.keys().next().value ?? null;
    const card = this.#shown === null ? undefined : this.#pending.get(this.#shown);
    const { output } = this.#cli;
    const lines = [
      output.paint('bold', `alterd approvals: ${this.#pending.size} waiting`, 'stdout'),
      '',
      ...(card === undefined ? ['Nothing waits for an approval.'] : cardLines(card)),
      '',
      this.#message,
      output.paint('dim', HELP, 'stdout'),
    ];
    process.stdout.write(`\u001b[2J\u001b[H${lines.join('\r\n')}`);
  }
}
