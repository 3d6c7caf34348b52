/** Progress as a person sees it: finished steps stay as lines, the running one is a live line on a terminal. */
import { duration } from '../../src/ui.ts';

export interface Output {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

export interface ViewOptions {
  readonly out: Output;
  /** colours; default: on a terminal without NO_COLOR that is not dumb */
  readonly colour?: boolean;
  /** clock in milliseconds, for tests */
  readonly now?: () => number;
}

type Mark = 'done' | 'failed' | 'note';
const MARKS: Record<Mark, readonly [text: string, colour: number]> = {
  done: ['✓', 32],
  failed: ['✗', 31],
  note: ['·', 2],
};
const LABEL_WIDTH = 44;
/** Without a terminal a step is announced only when it takes this long. */
const ANNOUNCE_MS = 3000;
const REDRAW_MS = 250;

export class ProgressView {
  readonly #out: Output;
  readonly #live: boolean;
  readonly #colour: boolean;
  readonly #now: () => number;
  #running: { label: string; detail: string; since: number; announced: boolean } | undefined;
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(options: ViewOptions) {
    this.#out = options.out;
    this.#live = options.out.isTTY === true;
    this.#colour = options.colour ?? (this.#live && !process.env['NO_COLOR'] && process.env['TERM'] !== 'dumb');
    this.#now = options.now ?? (() => performance.now());
  }

  get running(): boolean {
    return this.#running !== undefined;
  }

  /** Text in a colour or style (ECMA-48 SGR number), if colours are on. */
  paint(sgr: number, text: string): string {
    return this.#colour ? `\u001b[${sgr}m${text}\u001b[0m` : text;
  }

  /** A heading above the steps that follow. */
  heading(text: string): void {
    this.#clear();
    this.#out.write(`${this.paint(1, text)}\n`);
    this.#draw();
  }

  /** A step begins; an unfinished one before it is forgotten. */
  start(label: string, detail = ''): void {
    this.#clear();
    this.#running = { label, detail, since: this.#now(), announced: false };
    this.#timer ??= setInterval(() => this.tick(), REDRAW_MS);
    this.#timer.unref?.();
    this.#draw();
  }

  /** What the running step does now. */
  detail(text: string): void {
    if (!this.#running) return;
    this.#running.detail = text;
    this.#draw();
  }

  /** The running step has ended. */
  finish(detail = '', milliseconds?: number): void {
    const step = this.#running;
    if (step) this.line('done', step.label, detail, milliseconds ?? this.#now() - step.since);
  }

  fail(detail = ''): void {
    const step = this.#running;
    if (step) this.line('failed', step.label, detail, this.#now() - step.since);
  }

  /** A finished line; the running step ends with it. */
  line(mark: Mark, label: string, detail = '', milliseconds?: number): void {
    this.stop();
    this.#out.write(`${this.#format(mark, label, detail, milliseconds)}\n`);
  }

  /** A line between others: the running step goes on below it. */
  note(mark: Mark, label: string, detail = '', milliseconds?: number): void {
    this.#clear();
    this.#out.write(`${this.#format(mark, label, detail, milliseconds)}\n`);
    this.#draw();
  }

  /** Forgets the running step. */
  stop(): void {
    this.#clear();
    this.#running = undefined;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** Redraws the live line, or announces a long step where nothing can be redrawn. */
  tick(): void {
    const step = this.#running;
    if (!step) return;
    this.#draw();
    if (this.#live || step.announced || this.#now() - step.since < ANNOUNCE_MS) return;
    step.announced = true;
    this.#out.write(`  … ${step.label}${step.detail === '' ? '' : `: ${step.detail}`}\n`);
  }

  #format(mark: Mark, label: string, detail: string, milliseconds: number | undefined): string {
    const [symbol, colour] = MARKS[mark];
    const time = milliseconds === undefined ? '' : duration(milliseconds);
    const tail = detail === '' ? '' : this.paint(2, `  ${detail}`);
    return `  ${this.paint(colour, symbol)} ${label.padEnd(LABEL_WIDTH)} ${time.padStart(11)}${tail}`.trimEnd();
  }

  #draw(): void {
    const step = this.#running;
    if (!this.#live || !step) return;
    const elapsed = duration(Math.floor((this.#now() - step.since) / 100) * 100);
    const text = `  … ${step.label.padEnd(LABEL_WIDTH)} ${elapsed.padStart(11)}  ${step.detail}`;
    this.#out.write(`\r\u001b[K${text.slice(0, Math.max(20, (this.#out.columns || 80) - 1))}`);
  }

  #clear(): void {
    if (this.#live && this.#running) this.#out.write('\r\u001b[K');
  }
}
