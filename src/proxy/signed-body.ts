/** A body that is signed piece by piece on its way to the origin. Must never let a piece pass that was not signed. */
import { type AlterError, toAlterError } from '../domain/errors.ts';
import type { BodyRewriter } from '../injection/signer.ts';
import type { BodySink } from './message.ts';

export class SignedBody implements BodySink {
  readonly #sink: BodySink;
  readonly #rewriter: BodyRewriter;
  readonly #fail: (error: AlterError) => void;
  #failed = false;

  /** @param fail ends the exchange: what was sent so far is worthless to the origin, whose length says that more follows */
  constructor(sink: BodySink, rewriter: BodyRewriter, fail: (error: AlterError) => void) {
    this.#sink = sink;
    this.#rewriter = rewriter;
    this.#fail = fail;
  }

  write(slice: Buffer): boolean {
    let goesOn = true;
    this.#guarded(() => {
      for (const piece of this.#rewriter.push(slice)) goesOn = this.#sink.write(piece, false);
    });
    return goesOn;
  }

  flush(): void {
    if (!this.#failed) this.#sink.flush();
  }

  end(trailers: readonly string[]): void {
    this.#guarded(() => {
      this.#rewriter.end();
      this.#sink.end(trailers);
    });
  }

  abort(): void {
    this.#sink.abort();
  }

  #guarded(work: () => void): void {
    if (this.#failed) return;
    try {
      work();
    } catch (thrown) {
      this.#failed = true;
      this.#fail(toAlterError(thrown));
    }
  }
}
