/**
 * The data-plane thread's end of the worker: starts it, asks it questions, hears of faults. It keeps the process alive
 * only while an answer is due.
 */
import type { MessagePort, Worker } from 'node:worker_threads';
import { AlterError } from '../domain/errors.ts';
import { startThread } from '../runtime/thread.ts';
import type { CommittedRow } from './chain-end.ts';
import type { Answers, FromWorker, Question, Ready, ToWorker, WriterSettings } from './messages.ts';

interface Asked {
  resolve(value: Answers[keyof Answers]): void;
  reject(error: Error): void;
}

export interface LinkEvents {
  onFault(message: string): void;
  onSynced(error: string | null): void;
  onRows(rows: readonly CommittedRow[]): void;
  /** Retention removed the rows up to this one, and with them this much of bodies. */
  onRemoved(upTo: number, freedBytes: number): void;
  /** The worker is gone and nothing can be recorded any more. */
  onLost(reason: string): void;
}

/**
 * A thread for a journal that will be opened: half of the time that a start takes is a thread's own start, which needs nothing but a
 * processor. Keeps no process alive until a journal takes it.
 */
export function startWriter(): Worker {
  const worker = startThread('journal/writer', 'alterd-journal', null);
  worker.unref();
  return worker;
}

export class WorkerLink {
  readonly #worker: Worker;
  readonly #events: LinkEvents;
  readonly #asked = new Map<number, Asked>();
  #nextId = 1;
  #expected = 0;
  #closing = false;
  /** What the worker complains of now. */
  fault: string | null = null;

  constructor(worker: Worker, events: LinkEvents) {
    this.#worker = worker;
    this.#events = events;
  }

  /** Lets the worker begin, and waits until it has replayed what a crash left. @throws AlterError audit_unavailable */
  static start(worker: Worker, settings: WriterSettings, events: LinkEvents): Promise<{ link: WorkerLink; ready: Ready }> {
    return new Promise((resolve, reject) => {
      worker.ref();
      worker.postMessage(settings);
      const link = new WorkerLink(worker, events);
      const fail = (reason: string): void => reject(new AlterError('audit_unavailable', { reason }));
      worker.on('message', (message: FromWorker) => {
        if (message.type === 'failed') fail(message.reason);
        else if (message.type === 'ready') {
          worker.unref();
          resolve({ link, ready: message });
        } else link.#receive(message);
      });
      worker.on('error', (error) => {
        fail(`${error}`);
        link.#lost(`the journal's worker failed: ${error}`);
      });
      worker.on('exit', () => {
        fail("the journal's worker ended at its start");
        link.#lost("the journal's worker ended");
      });
    });
  }

  /** Hands a port over to the worker, which answers on it. */
  feed(port: MessagePort): void {
    this.#worker.postMessage({ feed: port } satisfies ToWorker, [port]);
  }

  wake(): void {
    this.#worker.postMessage(null satisfies ToWorker);
  }

  /** Asks for what is written to be put on disk; `onSynced` tells when it is. */
  sync(): void {
    this.#expect(1);
    this.#worker.postMessage('sync' satisfies ToWorker);
  }

  ask<Q extends Question>(question: Q): Promise<Answers[Q['op']]> {
    if (this.#closing)
      return Promise.reject(new AlterError('audit_unavailable', { reason: this.fault ?? 'the journal is closed' }));
    const id = this.#nextId++;
    if (question.op === 'close') this.#closing = true;
    return new Promise((resolve, reject) => {
      this.#asked.set(id, { resolve: resolve as Asked['resolve'], reject });
      this.#expect(1);
      this.#worker.postMessage({ id, question } satisfies ToWorker);
    });
  }

  /** Resolves once the thread is gone. */
  async ended(): Promise<void> {
    await this.#worker.terminate();
  }

  #receive(message: FromWorker): void {
    if (message.type === 'answer' || message.type === 'error') {
      const asked = this.#asked.get(message.id);
      this.#asked.delete(message.id);
      this.#expect(-1);
      if (message.type === 'answer') asked?.resolve(message.value);
      else asked?.reject(new AlterError('audit_unavailable', { reason: message.message }));
    } else if (message.type === 'synced') {
      this.#expect(-1);
      this.#events.onSynced(message.error);
    } else if (message.type === 'rows') this.#events.onRows(message.rows);
    else if (message.type === 'removed') this.#events.onRemoved(message.upTo, message.freed);
    else if (message.type === 'notice') this.#events.onFault(message.message);
    else if (message.type === 'fault') {
      this.fault = message.message;
      if (message.message !== null) this.#events.onFault(message.message);
    }
  }

  #expect(answers: 1 | -1): void {
    this.#expected += answers;
    if (this.#expected > 0) this.#worker.ref();
    else this.#worker.unref();
  }

  #lost(reason: string): void {
    for (const asked of this.#asked.values()) asked.reject(new AlterError('audit_unavailable', { reason }));
    this.#asked.clear();
    if (this.#closing) return;
    this.#closing = true;
    this.fault = reason;
    this.#events.onLost(reason);
  }
}
