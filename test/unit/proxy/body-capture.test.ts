import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { CapturedBodies } from '../../../src/domain/audit-body.ts';
import type { Grant } from '../../../src/domain/grant.ts';
import { redactBody } from '../../../src/journal/redaction.ts';
import { AnswerGuard } from '../../../src/proxy/answer-guard.ts';
import { BodyCapture, captureOf } from '../../../src/proxy/body-capture.ts';
import type { ResponseHead } from '../../../src/proxy/http1/head.ts';
import type { AgentRequest, BodySink } from '../../../src/proxy/message.ts';
import { NeedleSet } from '../../../src/scrub/needle-set.ts';

const SECRET = 'SEKRET-marker-needle-0123456789';
const PLACEHOLDERS: ReadonlySet<string> = new Set();
const guard = (needles: NeedleSet | null = new NeedleSet([Buffer.from(SECRET)])): AnswerGuard =>
  new AnswerGuard({ needles, strips: false, acceptEncoding: null, host: 'a.test' });
const grant = (auditBodies: Grant['auditBodies'], auditBodyBytes: number): Grant => ({ auditBodies, auditBodyBytes }) as Grant;
const request = (headers: readonly string[] = []): AgentRequest => ({ headers }) as unknown as AgentRequest;

/** What a sink of the data plane was given. */
class Collected implements BodySink {
  readonly parts: Buffer[] = [];
  ends = 0;
  write(slice: Buffer): boolean {
    this.parts.push(Buffer.from(slice));
    return this.parts.length % 2 === 0;
  }
  flush(): void {}
  end(): void {
    this.ends += 1;
  }
  abort(): void {}
}

/** The same bytes in pieces that end at these places; each is overwritten behind its call, as shared ones are. */
function feed(bytes: Buffer, cuts: readonly number[], take: (slice: Buffer) => void): void {
  const places = [...new Set([0, ...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length])].sort((a, b) => a - b);
  for (const [i, start] of places.slice(0, -1).entries()) {
    const slice = Buffer.from(bytes.subarray(start, places[i + 1]));
    take(slice);
    slice.fill(0);
  }
}

function captured(body: Buffer, cuts: readonly number[], limit: number, headers: readonly string[] = []): CapturedBodies {
  const capture = new BodyCapture(grant('both', limit), request(headers), guard(), PLACEHOLDERS);
  const sink = capture.tapRequest(new Collected());
  feed(body, cuts, (slice) => sink.write(slice, true));
  sink.end([]);
  const tap = capture.tapAnswer({ headers } as unknown as ResponseHead, guard(), true);
  feed(body, cuts, (slice) => tap?.add(slice));
  return capture.take();
}

const CODINGS = { gzip: gzipSync, br: brotliCompressSync, deflate: deflateSync, 'x-gzip': gzipSync } as const;

describe('however a body is cut on its way, what is kept of it is the same', () => {
  const cuts = fc.array(fc.nat({ max: 5_000 }), { maxLength: 12 });
  const piece = fc.constantFrom('{"password":"', SECRET, '"}', 'é', 'text ', '\n', '{"n":1}', 'x'.repeat(40));
  const body = fc.array(piece, { minLength: 1, maxLength: 30 }).map((parts) => Buffer.from(parts.join('')));
  const coding = fc.constantFrom<keyof typeof CODINGS | null>(null, 'gzip', 'br', 'deflate', 'x-gzip');

  it('for every coding and limit', () => {
    fc.assert(
      fc.property(body, cuts, coding, fc.integer({ min: 1, max: 600 }), (plain, places, name, limit) => {
        const wire = name === null ? plain : CODINGS[name](plain);
        const headers = name === null ? [] : ['Content-Encoding', name];
        const whole = captured(wire, [], limit, headers);
        expect(captured(wire, places, limit, headers)).toEqual(whole);
        const { request: kept } = whole;
        expect(kept?.length).toBe(wire.length);
        expect(kept?.bytes.length).toBeLessThanOrEqual(limit);
        expect(redactBody(kept?.bytes ?? Buffer.alloc(0), null, PLACEHOLDERS).bytes.toString()).not.toContain(SECRET.slice(0, 9));
        if (kept?.truncated === false) expect(kept.bytes.length).toBe(plain.length);
      }),
      { numRuns: 200 },
    );
  });

  it('and it passes as it was', () => {
    fc.assert(
      fc.property(body, cuts, (bytes, places) => {
        const capture = new BodyCapture(grant('request', 10), request(), guard(), PLACEHOLDERS);
        const next = new Collected();
        const sink = capture.tapRequest(next);
        const answers: boolean[] = [];
        feed(bytes, places, (slice) => answers.push(sink.write(slice, true)));
        sink.end([]);
        expect(Buffer.concat(next.parts).equals(bytes)).toBe(true);
        expect(answers).toEqual(answers.map((_answer, i) => i % 2 === 1));
        expect(next.ends).toBe(1);
      }),
    );
  });
});

describe('codings', () => {
  it('a bare stream of deflate is read too', () => {
    expect(captured(deflateRawSync('plain'), [], 100, ['content-encoding', 'deflate']).request?.bytes.toString()).toBe('plain');
  });

  it('what becomes very long stays bounded', () => {
    const kept = captured(gzipSync(Buffer.alloc(20_000_000, 'a')), [], 16_384, ['content-encoding', 'gzip']).request;
    expect(kept).toMatchObject({ truncated: true, coding: 'gzip' });
    expect(kept?.bytes.length).toBeGreaterThan(0);
    expect(kept?.bytes.length).toBeLessThanOrEqual(16_384);
  });

  it.each([
    ['an unknown one', ['Content-Encoding', 'zstd']],
    ['two of them', ['Content-Encoding', 'gzip', 'content-encoding', 'br']],
    ['one that it is not', ['Content-Encoding', 'gzip']],
    ['that of messages of gRPC', ['Content-Type', 'application/grpc', 'grpc-encoding', 'gzip']],
  ])('%s can not be looked through, so nothing is kept', (_what, headers) => {
    expect(captured(Buffer.from('plain'), [], 100, headers)).toMatchObject({ request: null, response: null, dropped: 'coded' });
  });
});

describe('what is kept at all', () => {
  it('nothing is made where a grant asks for nothing', () => {
    expect(captureOf(null, request(), null, PLACEHOLDERS)).toBeNull();
    expect(captureOf(grant('none', 100), request(), guard(), PLACEHOLDERS)).toBeNull();
    const next = new Collected();
    expect(captureOf(grant('response', 100), request(), guard(), PLACEHOLDERS)?.tapRequest(next)).toBe(next);
  });

  it('no answer that nobody searched', () => {
    const capture = new BodyCapture(grant('both', 100), request(), guard(null), PLACEHOLDERS);
    expect(capture.tapAnswer({ headers: [] } as unknown as ResponseHead, guard(null), false)).toBeNull();
    expect(capture.take()).toMatchObject({ response: null, dropped: 'unsearched' });
  });

  it('nothing of a body that did not come', () => {
    expect(captured(Buffer.alloc(0), [], 100)).toMatchObject({ request: null, response: null, dropped: null });
  });
});
