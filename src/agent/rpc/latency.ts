/**
 * How long things took, in the buckets of a Prometheus histogram. Recording is a few additions, so that it can stand on the
 * way of every request; names and text are made only when somebody asks for the metrics.
 */

/** Upper bounds in seconds: from a cached key to a quote that takes its time. */
export const BUCKETS: readonly number[] = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30];

/** One line of a histogram. */
export interface Series {
  /** values in the order of the label names */
  readonly labels: readonly string[];
  /** observations per bucket, not cumulative; the last one is above every bound */
  readonly counts: readonly number[];
  /** seconds */
  readonly sum: number;
}

interface Cell {
  readonly labels: readonly string[];
  readonly counts: number[];
  sum: number;
}

/** A histogram of durations, one series for each combination of label values. Values must come from a small set. */
export class Latencies {
  readonly #cells = new Map<string, Cell>();
  /** most observations are of the same series as the one before */
  #last: Cell | undefined;

  observe(seconds: number, ...labels: readonly string[]): void {
    const last = this.#last;
    const cell = last !== undefined && same(last.labels, labels) ? last : this.#cell(labels);
    let bucket = 0;
    while (bucket < BUCKETS.length && seconds > (BUCKETS[bucket] as number)) bucket++;
    cell.counts[bucket] = (cell.counts[bucket] ?? 0) + 1;
    cell.sum += seconds;
  }

  #cell(labels: readonly string[]): Cell {
    const key = labels.join('\n');
    let cell = this.#cells.get(key);
    if (cell === undefined) {
      cell = { labels, counts: new Array(BUCKETS.length + 1).fill(0), sum: 0 };
      this.#cells.set(key, cell);
    }
    this.#last = cell;
    return cell;
  }

  series(): Series[] {
    return [...this.#cells.values()].map(({ labels, counts, sum }) => ({ labels, counts: [...counts], sum }));
  }
}

function same(a: readonly string[], b: readonly string[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
