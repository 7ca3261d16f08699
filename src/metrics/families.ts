/**
 * Counters, a histogram and the text format of Prometheus (0.0.4). Every family has a limit of series: what comes later is counted
 * as `other`, so that nothing an agent sends can make the memory or the scrape grow.
 */

const OTHER = 'other';

/** Backslash, quote and line feed, as the format asks. */
const escaped = (value: string): string => value.replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\n/g, '\\n');

const labelsText = (names: readonly string[], values: readonly string[]): string =>
  names.length === 0 ? '' : `{${names.map((name, i) => `${name}="${escaped(values[i] ?? '')}"`).join()}}`;

interface Series {
  readonly text: string;
  value: number;
}

/** A counter for each combination of labels. */
export class Counters {
  readonly #name: string;
  readonly #help: string;
  readonly #labels: readonly string[];
  readonly #maxSeries: number;
  readonly #series = new Map<string, Series>();

  constructor(name: string, help: string, labels: readonly string[], maxSeries = 500) {
    this.#name = name;
    this.#help = help;
    this.#labels = labels;
    this.#maxSeries = maxSeries;
  }

  add(key: string, values: readonly string[], amount = 1): void {
    const series = this.#series.get(key);
    if (series === undefined) this.#begin(key, values, amount);
    else series.value += amount;
  }

  get total(): number {
    let sum = 0;
    for (const { value } of this.#series.values()) sum += value;
    return sum;
  }

  write(out: string[]): void {
    out.push(`# HELP ${this.#name} ${this.#help}`, `# TYPE ${this.#name} counter`);
    if (this.#labels.length === 0 && this.#series.size === 0) out.push(`${this.#name} 0`);
    for (const { text, value } of this.#series.values()) out.push(`${this.#name}${text} ${value}`);
  }

  #begin(key: string, values: readonly string[], amount: number): void {
    // The last place is for what finds none.
    const isFull = this.#series.size >= this.#maxSeries - 1;
    const found = isFull ? this.#series.get(OTHER) : undefined;
    if (found !== undefined) {
      found.value += amount;
      return;
    }
    const shown = isFull ? values.map(() => OTHER) : values;
    this.#series.set(isFull ? OTHER : key, { text: labelsText(this.#labels, shown), value: amount });
  }
}

/** Seconds, in fixed buckets. */
export class Histogram {
  readonly #name: string;
  readonly #help: string;
  readonly #bounds: readonly number[];
  readonly #counts: Float64Array;
  #sum = 0;

  constructor(name: string, help: string, bounds: readonly number[]) {
    this.#name = name;
    this.#help = help;
    this.#bounds = bounds;
    this.#counts = new Float64Array(bounds.length + 1);
  }

  observe(seconds: number): void {
    const bounds = this.#bounds;
    let i = 0;
    while (i < bounds.length && seconds > (bounds[i] as number)) i += 1;
    this.#counts[i] = (this.#counts[i] as number) + 1;
    this.#sum += seconds;
  }

  write(out: string[]): void {
    out.push(`# HELP ${this.#name} ${this.#help}`, `# TYPE ${this.#name} histogram`);
    let count = 0;
    for (const [i, bound] of this.#bounds.entries()) {
      count += this.#counts[i] as number;
      out.push(`${this.#name}_bucket{le="${bound}"} ${count}`);
    }
    count += this.#counts[this.#bounds.length] as number;
    out.push(`${this.#name}_bucket{le="+Inf"} ${count}`, `${this.#name}_sum ${this.#sum}`, `${this.#name}_count ${count}`);
  }
}

/** A value that is read when it is asked for. */
export interface Reading {
  readonly name: string;
  readonly help: string;
  readonly type: 'gauge' | 'counter';
  readonly label?: string;
  readonly values: readonly { readonly label?: string; readonly value: number }[];
}

export function writeReading(out: string[], { name, help, type, label, values }: Reading): void {
  out.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
  for (const one of values) {
    const labels = label === undefined ? '' : labelsText([label], [one.label ?? '']);
    out.push(`${name}${labels} ${Number.isFinite(one.value) ? one.value : 'NaN'}`);
  }
}
