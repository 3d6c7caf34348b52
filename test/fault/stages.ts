/** Which step of a first boot a change on the disk belongs to: the lines of the state table in docs/disk.md. */
import { DATA_START } from '../../src/fde/create-partition.ts';
import { PAYLOAD_OFFSET } from '../../src/fde/luks-json.ts';
import { MARK_AT } from '../../src/fde/marks.ts';
import type { Change } from './volatile-disk.ts';

export type Stage = 'claim' | 'table' | 'header' | 'file system' | 'ready';

/** A moment of a first boot: the first write, or the flush, of a stage arrives and is not done any more. */
export interface Moment {
  readonly stage: Stage;
  readonly flush: boolean;
}

const STAGES: readonly Stage[] = ['claim', 'table', 'header', 'file system', 'ready'];
/** In the order in which they come. */
export const MOMENTS: readonly Moment[] = STAGES.flatMap((stage) => [
  { stage, flush: false },
  { stage, flush: true },
]);

/** Header and marks are one write and one flush each; of the others the second is a moment of its own too. */
const ONCE: readonly Stage[] = ['claim', 'header', 'ready'];
/** How many moments of this kind a first boot surely has. */
export const timesOf = ({ stage }: Moment): number => (ONCE.includes(stage) ? 1 : 2);

const PAGE = 4096;
/** the copy of the table at the end of the disk: 33 sectors, in pages */
const TABLE_COPY = 5 * PAGE;

/** Follows the changes of one boot. A flush belongs to the stage of the last write. */
export class StageTracker {
  #stage: Stage = 'claim';
  #filled = false;
  readonly #size: number;

  constructor(size: number) {
    this.#size = size;
  }

  see({ flush, at, bytes }: Pick<Change, 'flush' | 'at' | 'bytes'>): Moment {
    if (!flush) this.#stage = this.#stageOf(at, bytes.length);
    if (this.#stage === 'file system') this.#filled = true;
    return { stage: this.#stage, flush };
  }

  #stageOf(at: number, length: number): Stage {
    const mark = DATA_START + MARK_AT;
    if (at <= mark && mark < at + length) return this.#filled ? 'ready' : 'claim';
    if (at < DATA_START - PAGE || at >= this.#size - TABLE_COPY) return 'table';
    if (at < DATA_START) return 'claim';
    return at < DATA_START + PAYLOAD_OFFSET ? 'header' : 'file system';
  }
}
