/**
 * One data disk from blank to its last power cut: boots that are cut at a chosen change of the disk, and the check of what
 * the next boot finds.
 */
import type { FileSystem } from '../../src/config/storage-options.ts';
import { Dice } from './dice.ts';
import type { FrozenGuest } from './frozen-guest.ts';
import type { Guest } from './guest.ts';
import { entry, KEY, openScript, readScript, writerScript } from './guest-scripts.ts';
import { NbdServer } from './nbd-server.ts';
import { type CutKind, count, countCut, type Report } from './report.ts';
import { type Moment, StageTracker } from './stages.ts';
import { type Change, KEEP, VolatileDisk } from './volatile-disk.ts';

const MIB = 1024 * 1024;
/** the least that a pool fits on, and an ext4 that gets a copy of its superblock in a new group when it grows */
const DISK_SIZE = { zfs: 96 * MIB, ext4: 72 * MIB } as const;
const GROWTH = 16 * MIB;
const WRITING_MS = 60_000;
const THAW_TRIES = 3;

export interface LifeParts {
  readonly frozen: FrozenGuest;
  readonly fs: FileSystem;
  readonly report: Report;
  readonly seed: number;
  /** bytes of a physical sector */
  readonly sector: number;
  readonly say: (text: string) => void;
}

/** What a trial does with a guest that has the disk; it ends with a cut. */
interface Trial {
  readonly guest: Guest;
  readonly server: NbdServer;
  cut(kind: CutKind | 'control', where: string): Promise<void>;
}

export class DiskLife {
  readonly #parts: LifeParts;
  readonly #report: Report;
  readonly #disk: VolatileDisk;
  /** short enough for a socket (unix(7): 108 bytes) */
  readonly #socket = `/tmp/dstack-fault-${process.pid}.sock`;
  readonly #dice: Dice;
  readonly #history: string[] = [];
  #acknowledged = 0;
  /** entries behind them that were called acknowledged without an fsync */
  #claimed = 0;
  #everReady = false;
  /** false when the volume did not come up: there is nothing left to cut */
  alive = true;

  constructor(parts: LifeParts) {
    this.#parts = parts;
    this.#report = parts.report;
    this.#disk = new VolatileDisk(DISK_SIZE[parts.fs], parts.sector);
    this.#dice = new Dice(parts.seed);
  }

  /** A boot that is cut when the disk sees the given moment of a first boot; if it never does, when the boot is done. */
  cutFirstBoot(moment: Moment, nth: number): Promise<void> {
    const tracker = new StageTracker(this.#disk.size);
    let seen = 0;
    const name = `${moment.stage}${moment.flush ? ', flush' : ''}`;
    return this.#cutWhileOpening('first boot', name, (change) => {
      const now = tracker.see(change);
      return now.stage === moment.stage && now.flush === moment.flush && ++seen === nth;
    });
  }

  /** A boot that is cut at its change number `number`, on a disk that has grown before if `grow`. */
  cutOpening(number: number, grow: boolean): Promise<void> {
    if (grow) this.#disk.enlarge(GROWTH);
    let seen = 0;
    return this.#cutWhileOpening(grow ? 'grow' : 'open', `change ${number}`, () => ++seen === number);
  }

  /** Boots, checks what was acknowledged before, writes, and cuts the power `changes` changes after an acknowledgement. */
  async cutWriting(changes: number): Promise<void> {
    const before = this.#acknowledged;
    await this.#write(changes, true, async (cut, last) => {
      await cut('writing', `${changes} changes after the first of its entries`);
      this.#acknowledged = last();
    });
    this.#report.acknowledged += Math.max(0, this.#acknowledged - before);
  }

  /**
   * The control, at the end: the writer calls entries acknowledged without an fsync, and the cut must lose some of them,
   * or the other cuts prove nothing. It is no part of the other figures.
   */
  async control(): Promise<void> {
    await this.#write(20, false, async (cut, last) => {
      await cut('control', 'without fsync');
      this.#claimed = last() - this.#acknowledged;
    });
    await this.check();
  }

  async #write(changes: number, fsync: boolean, end: (cut: Trial['cut'], last: () => number) => Promise<void>) {
    await this.#boot(async ({ guest, server, cut }) => {
      if (!(await this.#opens(guest))) return;
      const before = this.#acknowledged;
      let last = before;
      let more = changes;
      const reached = new Promise<void>((resolve) => {
        server.onChange = () => {
          if (last === before || --more > 0) return;
          server.silence();
          resolve();
        };
      });
      guest.console.watch((line) => {
        last = Math.max(last, Number(/acknowledged (\d+)$/.exec(line)?.[1] ?? 0));
      });
      const script = Buffer.from(writerScript(before + 1, fsync)).toString('base64');
      await guest.sh(`echo ${script} | base64 -d >/run/writer; setsid -f bash /run/writer </dev/null >/dev/null 2>&1`);
      await Promise.race([reached, pause(WRITING_MS)]);
      server.silence();
      await end(cut, () => last);
    });
  }

  /** Boots, writes some entries, and cuts the power at change number `number` of closing the volume. */
  async cutClosing(number: number): Promise<void> {
    await this.#boot(async ({ guest, server, cut }) => {
      if (!(await this.#opens(guest))) return;
      const closed = guest.sh('dstack-util fde close --mount-point /run/m').catch(() => undefined);
      let seen = 0;
      const reached = new Promise<'reached'>((resolve) => {
        server.onChange = () => {
          if (++seen !== number) return;
          server.silence();
          resolve('reached');
        };
      });
      const end = await Promise.race([reached, closed]);
      await cut('close', end === 'reached' ? `change ${number}` : 'closed');
    });
  }

  /** Boots once more, and only checks. */
  async check(): Promise<void> {
    await this.#boot(async ({ guest }) => {
      await this.#opens(guest);
    });
  }

  #cutWhileOpening(kind: CutKind, where: string, isNow: (change: Change) => boolean): Promise<void> {
    return this.#boot(async ({ guest, server, cut }) => {
      const reached = new Promise<'reached'>((resolve) => {
        server.onChange = (change) => {
          if (!isNow(change)) return;
          server.silence();
          resolve('reached');
        };
      });
      const end = await Promise.race([reached, this.#opens(guest)]);
      if (end === false) return;
      if (kind === 'first boot') count(this.#report.byStage, end === 'reached' ? where : 'done');
      await (end === 'reached' ? cut(kind, where) : cut('idle', `${where} did not come`));
    });
  }

  /** Thaws a guest with the disk. A QEMU that ends by itself in the middle takes its power with it, which is a cut too. */
  async #boot(work: (trial: Trial) => Promise<void>): Promise<void> {
    if (!this.alive) return;
    const { frozen, fs, say } = this.#parts;
    const guest = await thaw(frozen, this.#report);
    const server = await NbdServer.listen(this.#disk, this.#socket);
    let off = false;
    const powerOff = async (): Promise<number> => {
      if (off) return 0;
      off = true;
      server.silence();
      await guest.kill();
      await server.close();
      return this.#disk.cut(this.#dice.below(1e9), this.#dice.pick(KEEP));
    };
    const cut: Trial['cut'] = async (kind, where) => {
      const cached = this.#disk.unflushed;
      const lost = await powerOff();
      const line = `${fs}, ${kind}, ${where}; ${lost} of ${cached} bytes in the cache lost`;
      this.#history.push(line);
      if (kind !== 'control') countCut(this.#report, kind, fs, lost);
      say(`cut ${this.#report.cuts}: ${line}`);
    };
    try {
      await guest.attach(this.#socket);
      await work({ guest, server, cut });
    } catch (thrown) {
      if (!guest.ended) throw thrown;
      this.#report.emulatorAborts++;
      say(`QEMU has ended by itself: ${guest.console.tail(3).join(' / ')}`);
    } finally {
      await powerOff();
    }
  }

  /** Opens the volume as a boot does, and looks for everything that was acknowledged. @returns false when bricked */
  async #opens(guest: Guest): Promise<boolean> {
    const opened = await guest.sh(openScript(this.#parts.fs)).catch(() => undefined);
    if (opened === undefined) return true; // the power went
    if (opened.exit !== 0) {
      this.#report.bricked++;
      this.alive = false;
      this.#fail(`BRICKED (exit ${opened.exit}): ${opened.stderr.replaceAll(KEY, '...')}`, guest);
      return false;
    }
    this.#report.recoveries++;
    if (/ initialised at /.test(opened.stderr) && this.#everReady) {
      this.#report.formattedAnew++;
      this.#fail('a volume that was ready was made again', guest);
    }
    this.#everReady = true;
    const read = await guest.sh(readScript).catch(() => undefined);
    if (read === undefined) return true;
    const there = new Set(read.stdout.split('\n'));
    const missing = (from: number, entries: number): number =>
      Array.from({ length: entries }, (_, i) => from + i).filter((number) => !there.has(entry(number))).length;
    const lost = missing(1, this.#acknowledged);
    this.#report.lostAcknowledged += lost;
    if (lost > 0) this.#fail(`${lost} of ${this.#acknowledged} acknowledged entries are lost`, guest);
    if (this.#claimed > 0) {
      this.#report.control = { claimed: this.#claimed, lost: missing(this.#acknowledged + 1, this.#claimed) };
    }
    this.#claimed = 0;
    if (lost > 0) this.#acknowledged = 0; // what was reported once is not reported again
    return true;
  }

  #fail(what: string, guest: Guest): void {
    const history = this.#history.map((line) => `  after: ${line}`);
    this.#report.failures.push([what, ...history, ...guest.console.tail(5)].join('\n'));
    this.#parts.say(what);
  }
}

/** A QEMU that never answers has run nothing of the guest, so it loses and hides nothing: another one is started. */
async function thaw(frozen: FrozenGuest, report: Report): Promise<Guest> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await frozen.thaw();
    } catch (thrown) {
      if (attempt === THAW_TRIES) throw thrown;
      report.emulatorAborts++;
    }
  }
}

const pause = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, milliseconds).unref());
