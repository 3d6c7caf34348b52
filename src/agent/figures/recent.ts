/**
 * Answers that may be a few seconds old. Everybody can reach the public port, and evidence takes the one quoting device:
 * without this, a stranger could keep the app itself from getting quotes.
 */

const AGE_MS = 5000;
/** a failure is forgotten sooner, but not at once: failing hardware must not be hammered either */
const FAILURE_AGE_MS = 1000;

export class Recent<T> {
  readonly #ageMs: number;
  readonly #known = new Map<string, { until: number; value: Promise<T> }>();

  constructor(ageMs: number = AGE_MS) {
    this.#ageMs = ageMs;
  }

  /** An answer of at most that age (five seconds by default), or a new one; callers that come at the same time share it. */
  get(key: string, make: () => Promise<T>): Promise<T> {
    const known = this.#known.get(key);
    if (known !== undefined && Date.now() < known.until) return known.value;
    const value = make();
    const entry = { until: Date.now() + this.#ageMs, value };
    this.#known.set(key, entry);
    value.catch(() => {
      entry.until = Math.min(entry.until, Date.now() + FAILURE_AGE_MS);
    });
    return value;
  }
}
