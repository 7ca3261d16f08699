/** The arithmetic of the benchmark: medians, percentiles and ratios that are taken round by round. It knows nothing of proxies. */

/** One measured figure of one target in one round. */
export interface Sample {
  readonly test: string;
  readonly target: string;
  readonly round: number;
  readonly values: Readonly<Record<string, number>>;
  readonly failed?: string;
}

/** The middle value; of an even number the mean of the middle two. NaN for none. */
export function median(values: readonly number[]): number {
  const sorted = values.filter(Number.isFinite).sort((a, b) => a - b);
  if (sorted.length === 0) return Number.NaN;
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? (sorted[half] as number) : ((sorted[half - 1] as number) + (sorted[half] as number)) / 2;
}

/** Nearest rank: the smallest value that at least `percent` of the values do not exceed. NaN for none. */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = values.filter(Number.isFinite).sort((a, b) => a - b);
  if (sorted.length === 0) return Number.NaN;
  return sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)] as number;
}

/** Median over the rounds of one figure. */
export function medianOf(samples: readonly Sample[], test: string, target: string, key: string): number {
  return median(
    samples
      .filter((s) => s.test === test && s.target === target && s.failed === undefined)
      .map((s) => s.values[key] ?? Number.NaN),
  );
}

/** The figures of each round in which both have one. */
export function pairsOf(samples: readonly Sample[], a: Figure, b: Figure): [number, number][] {
  const pairs: [number, number][] = [];
  for (const sample of samples) {
    if (sample.test !== a.test || sample.target !== a.target) continue;
    const other = samples.find((s) => s.test === b.test && s.target === b.target && s.round === sample.round);
    const left = sample.values[a.key];
    const right = other?.values[b.key];
    if (left !== undefined && right !== undefined) pairs.push([left, right]);
  }
  return pairs;
}

export interface Figure {
  readonly test: string;
  readonly target: string;
  readonly key: string;
}

/** Median of the ratios of each round, so that drift of the machine cancels. NaN when no round has both. */
export function ratioByRound(samples: readonly Sample[], a: Figure, b: Figure): number {
  return median(pairsOf(samples, a, b).map(([left, right]) => left / right));
}

/** Median over rounds of `(a - base) / (b - base)`: what one adds to the base in units of what the other adds. */
export function addedRatioByRound(samples: readonly Sample[], a: Figure, b: Figure, base: Figure): number {
  const ratios: number[] = [];
  for (const sample of samples) {
    if (sample.test !== base.test || sample.target !== base.target) continue;
    const inRound = samples.filter((s) => s.round === sample.round);
    const value = (figure: Figure): number =>
      inRound.find((s) => s.test === figure.test && s.target === figure.target)?.values[figure.key] ?? Number.NaN;
    const added = value(b) - value(base);
    if (added > 0) ratios.push((value(a) - value(base)) / added);
  }
  return median(ratios);
}
