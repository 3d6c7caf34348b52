/**
 * The clock of this machine with a floor. The host sets the clock, so it could show old certificates and old collateral at
 * their own time; it cannot go back behind what this boot has already seen signed, nor behind the build of this program,
 * which is part of the measured image. The other direction has no such bound: documents then look expired.
 */
import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Fields } from '../config/fields.ts';
import { PATHS } from '../config/paths.ts';
import { parseStrictJson } from '../config/strict-json.ts';
import { DstackError, errorChain } from '../errors.ts';
import { exists, ifExists, readLimited, utf8, writeAtomic } from '../sys/files.ts';
import * as ui from '../ui.ts';
import { BUILD_TIME } from '../version.ts';

/** Lower bound that systemd takes from an image: the time of this file (systemd(1)). */
const CLOCK_EPOCH = '/usr/lib/clock-epoch';
const LIMIT = 4096;

/** A moment (milliseconds since 1970) that is over for certain, and how that is known. */
export interface Floor {
  readonly at: number;
  readonly from: string;
}

export interface BootClockOptions {
  /** keeps the floor for other processes of this boot; nothing is kept where its folder does not exist */
  readonly file: string;
  /** what the measured image says about its own date */
  readonly image: () => Promise<Floor>;
  /** the unchecked clock, in milliseconds */
  readonly system: () => number;
}

/** A clock that is not believed below its floor. */
export class BootClock {
  readonly #options: BootClockOptions;
  #floor: Floor | undefined;

  constructor(options: BootClockOptions) {
    this.#options = options;
  }

  /**
   * Milliseconds since 1970, to judge certificates and collateral with.
   * @throws CLOCK_BEHIND when that is before the floor; DOCUMENT_INVALID, JSON_INVALID for a damaged record
   */
  async now(): Promise<number> {
    const floor = await this.floor();
    const now = this.#options.system();
    if (now >= floor.at) return now;
    throw new DstackError('CLOCK_BEHIND', `the clock says ${iso(now)}, but ${floor.from} is of ${iso(floor.at)}`, {
      field: 'clock',
      value: iso(now),
    });
  }

  /** The highest floor that any process of this boot knows. */
  async floor(): Promise<Floor> {
    this.#floor ??= await this.#options.image();
    const kept = await this.#read();
    if (kept !== undefined && kept.at > this.#floor.at) this.#floor = kept;
    return this.#floor;
  }

  /**
   * Raises the floor to the date of a document whose signature was verified. A date that is not yet reached counts too when
   * the caller trusts the signer: then it is the clock that is wrong.
   */
  async saw(at: number, from: string): Promise<void> {
    if (!Number.isSafeInteger(at) || at <= (await this.floor()).at) return;
    this.#floor = { at, from };
    try {
      if (await exists(dirname(this.#options.file))) {
        await writeAtomic(this.#options.file, `${JSON.stringify(this.#floor)}\n`, 0o600);
      }
    } catch (thrown) {
      // this process goes on with what it knows
      ui.warn(`the floor of the clock is not kept for others: ${errorChain(thrown)}`);
    }
  }

  async #read(): Promise<Floor | undefined> {
    const path = this.#options.file;
    const raw = await ifExists(() => readLimited(path, LIMIT));
    if (raw === undefined) return undefined;
    const fields = new Fields(parseStrictJson(utf8(raw, path), path), { path });
    return { at: fields.integer('at', 0, Number.MAX_SAFE_INTEGER), from: fields.string('from') };
  }
}

const iso = (at: number): string => new Date(at).toISOString();

/** The date of the image: when this binary was built, or what systemd goes by, if that is later. */
async function imageDate(): Promise<Floor> {
  const built = { at: BUILD_TIME * 1000, from: 'this build' };
  const epoch = await ifExists(() => stat(CLOCK_EPOCH));
  const at = Math.floor(epoch?.mtimeMs ?? 0);
  return at > built.at ? { at, from: CLOCK_EPOCH } : built;
}

/** The clock of this machine. */
export const bootClock = new BootClock({ file: PATHS.clockFloor, image: imageDate, system: () => Date.now() });
