/**
 * What an input reached, by the inspector of this very process: V8 counts blocks precisely, and a count taken sets all
 * counters back. Taking one costs milliseconds, so the driver takes it for a batch of inputs at once.
 */
import { Session } from 'node:inspector';

interface Range {
  readonly startOffset: number;
  readonly endOffset: number;
  readonly count: number;
}
interface ScriptCoverage {
  readonly url: string;
  readonly functions: readonly { readonly ranges: readonly Range[] }[];
}

export class Coverage {
  readonly #session = new Session();
  readonly #url: string;
  /** one byte a character of the script: reached at least once */
  readonly #reached: Uint8Array;
  readonly #now: Uint8Array;
  /** what the last `take` found new */
  #fresh: number[] = [];
  #total = 0;

  /** @param url of the one script that counts, @param size its length in characters */
  constructor(url: string, size: number) {
    this.#url = url;
    this.#reached = new Uint8Array(size);
    this.#now = new Uint8Array(size);
    this.#session.connect();
    this.#post('Profiler.enable');
    this.#post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  }

  /** characters of the script reached so far */
  get total(): number {
    return this.#total;
  }

  /** Counts what was reached since the last call and answers how much of it is new. */
  take(): number {
    const { result } = this.#post('Profiler.takePreciseCoverage') as { result: ScriptCoverage[] };
    const script = result.find(({ url }) => url === this.#url);
    this.#fresh = [];
    if (script === undefined) return 0;
    this.#now.fill(0);
    // outer functions come before inner ones, and so do ranges: what is painted last is what holds
    for (const { ranges } of script.functions) {
      for (const { startOffset, endOffset, count } of ranges) this.#now.fill(count > 0 ? 1 : 0, startOffset, endOffset);
    }
    for (let at = 0; at < this.#now.length; at++)
      if (this.#now[at] === 1 && this.#reached[at] === 0) this.#fresh.push(at);
    this.#mark(this.#fresh);
    return this.#fresh.length;
  }

  /** Takes the news of the last `take` back, runs `work`, and counts them as known again whatever it found. */
  async again(work: () => Promise<void>): Promise<void> {
    const news = this.#fresh;
    for (const at of news) this.#reached[at] = 0;
    this.#total -= news.length;
    await work();
    this.#mark(news.filter((at) => this.#reached[at] === 0));
  }

  /** Forgets what was reached. */
  reset(): void {
    this.take();
    this.#reached.fill(0);
    this.#total = 0;
  }

  #mark(offsets: readonly number[]): void {
    for (const at of offsets) this.#reached[at] = 1;
    this.#total += offsets.length;
  }

  #post(method: string, parameters: object = {}): unknown {
    let answer: unknown;
    // calls to the own process are answered before post returns
    this.#session.post(method, parameters, (failed: Error | null, result: unknown) => {
      if (failed) throw failed;
      answer = result;
    });
    return answer;
  }
}
