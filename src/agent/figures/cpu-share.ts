/** How busy the processors are, as the average between two looks. */
import { cpuTimes } from './system-info.ts';

const IDLE = ['idle', 'iowait'];
/** two readings closer than this say little */
const SHORTEST_MS = 2000;

export class CpuShare {
  #before = { at: 0, busy: 0, all: 0 };
  #share: number | undefined;

  /** 0 to 1 over all processors since the last look, or since the start of the machine; undefined when unknown. */
  async read(): Promise<number | undefined> {
    const times = await cpuTimes();
    const now = Date.now();
    if (now - this.#before.at < SHORTEST_MS) return this.#share;
    let all = 0;
    let busy = 0;
    for (const [mode, seconds] of times) {
      all += seconds;
      if (!IDLE.includes(mode)) busy += seconds;
    }
    const passed = all - this.#before.all;
    if (passed > 0) this.#share = Math.min(1, Math.max(0, (busy - this.#before.busy) / passed));
    this.#before = { at: now, busy, all };
    return this.#share;
  }
}
