/**
 * Power cuts against the data disk: first boots that are cut at a chosen write, later boots cut while they open, grow or
 * write. After each cut the next boot must come up with every write that was acknowledged as being on the disk.
 */
import type { FrozenGuest, Guest } from './frozen-guest.ts';
import { type Change, VolatileDisk } from './volatile-disk.ts';

export type FileSystem = 'ext4' | 'zfs';
export type CutKind = 'first boot' | 'open' | 'grow' | 'writing' | 'idle';

export interface Report {
  cuts: number;
  byKind: Partial<Record<CutKind, number>>;
  /** boots after a cut that opened the volume (made it, finished it, or found it) */
  recoveries: number;
  acknowledged: number;
  lostAcknowledged: number;
  bricked: number;
  /** times a volume that was ready had become another, empty one */
  formattedAnew: number;
  lostBytes: number;
  seconds: number;
  failures: string[];
}

export const emptyReport = (): Report => ({
  cuts: 0,
  byKind: {},
  recoveries: 0,
  acknowledged: 0,
  lostAcknowledged: 0,
  bricked: 0,
  formattedAnew: 0,
  lostBytes: 0,
  seconds: 0,
  failures: [],
});

const MIB = 1024 * 1024;
const KEY = '5a'.repeat(32);
const DEVICE = '/dev/sda';
const JOURNAL = '/run/m/journal';

/** Opens the volume as a boot does; the last line says what became of it. */
const openScript = (fs: FileSystem): string =>
  [
    `for i in $(seq 200); do [ -b ${DEVICE} ] && break; sleep 0.05; done`,
    `echo ${KEY} | dstack-util fde open --create --device ${DEVICE} --key-file - --fs ${fs} --mount-point /run/m`,
  ].join('\n');

/** Appends numbered lines and says on the console which are on the disk; in between it writes what nobody waits for. */
const writerScript = (from: number, fsync: boolean): string =>
  [
    `n=${from}`,
    'while :; do',
    '  head -c 200000 /dev/urandom >/run/m/noise.$((n % 7))',
    `  echo "entry $n" >>${JOURNAL}`,
    fsync ? `  sync ${JOURNAL} || exit` : '',
    '  echo "acknowledged $n" >/dev/ttyS0',
    '  n=$((n + 1))',
    'done',
  ].join('\n');

/** Numbers from a seed (Park and Miller). */
export class Dice {
  #state: number;
  constructor(seed: number) {
    this.#state = (seed % 2_147_483_646) + 1;
  }
  /** 0 to below n */
  below(n: number): number {
    this.#state = (this.#state * 48_271) % 2_147_483_647;
    return Math.floor((this.#state / 2_147_483_647) * n);
  }
}

/** One disk from blank to its last cut. */
export class DiskLife {
  readonly #frozen: FrozenGuest;
  readonly #fs: FileSystem;
  readonly #report: Report;
  readonly #disk = new VolatileDisk(96 * MIB);
  /** short enough for a socket (unix(7): 108 bytes) */
  readonly #socket = `/tmp/dstack-fault-${process.pid}.sock`;
  readonly #dice: Dice;
  readonly #fsync: boolean;
  #acknowledged = 0;
  #everReady = false;
  #say: (text: string) => void;

  constructor(parts: {
    frozen: FrozenGuest;
    fs: FileSystem;
    report: Report;
    seed: number;
    say: (text: string) => void;
    fsync?: boolean;
  }) {
    this.#frozen = parts.frozen;
    this.#fs = parts.fs;
    this.#report = parts.report;
    this.#dice = new Dice(parts.seed);
    this.#fsync = parts.fsync ?? true;
    this.#say = parts.say;
  }

  /** Boots; cuts the power when the disk sees change number `change`, or when the boot is done. @returns changes seen */
  async cutWhileOpening(kind: CutKind, change: number): Promise<void> {
    if (kind === 'grow') this.#disk.enlarge(32 * MIB);
    await this.#boot(async (guest, cut) => {
      const reached = new Promise<'cut'>((resolve) => {
        this.#disk.onChange = (count: number) => {
          if (count !== change) return;
          this.#disk.freeze();
          resolve('cut');
        };
      });
      const opened = guest.sh(openScript(this.#fs)).catch(() => undefined);
      const end = await Promise.race([reached, opened]);
      if (end !== 'cut') {
        if (!(await this.#verify(guest, end))) return;
      }
      await cut(end === 'cut' ? kind : 'idle', `at change ${end === 'cut' ? change : `${this.#disk.changes}, opened`}`);
    });
  }

  /** Boots, checks what was acknowledged before, writes, and cuts the power after a while. @returns false when bricked */
  async cutWhileWriting(milliseconds: number): Promise<boolean> {
    let good = false;
    await this.#boot(async (guest, cut) => {
      good = await this.#verify(guest, await guest.sh(openScript(this.#fs)));
      if (!good) return;
      const unwatch = guest.console.watch((line) => {
        const number = Number(/^acknowledged (\d+)$/.exec(line)?.[1] ?? 0);
        if (number > this.#acknowledged) this.#acknowledged = number;
      });
      const script = Buffer.from(writerScript(this.#acknowledged + 1, this.#fsync)).toString('base64');
      await guest.sh(`echo ${script} | base64 -d >/run/writer; setsid -f bash /run/writer </dev/null >/dev/null 2>&1`);
      const before = this.#acknowledged;
      for (let i = 0; i < 100 && this.#acknowledged === before; i++) await pause(50); // it has begun
      await pause(milliseconds);
      this.#disk.freeze();
      await cut('writing', `after entry ${this.#acknowledged}`);
      unwatch();
      this.#report.acknowledged += this.#acknowledged - before;
    });
    return good;
  }

  /** Boots once more, and only checks. */
  async verify(): Promise<boolean> {
    let good = false;
    await this.#boot(async (guest) => {
      good = await this.#verify(guest, await guest.sh(openScript(this.#fs)));
    });
    return good;
  }

  async #boot(
    trial: (guest: Guest, cut: (kind: CutKind, what: string) => Promise<void>) => Promise<void>,
  ): Promise<void> {
    await this.#disk.listen(this.#socket);
    const guest = await this.#frozen.thaw();
    try {
      await guest.attach(this.#socket);
      await trial(guest, async (kind, what) => {
        const cached = this.#disk.unflushed;
        await guest.kill();
        await pause(20); // what it has printed
        const lost = await this.#disk.cut(this.#dice.below(1e9), [0, 0.5, 0.9][this.#dice.below(3)] ?? 0);
        this.#report.cuts++;
        this.#report.byKind[kind] = (this.#report.byKind[kind] ?? 0) + 1;
        this.#report.lostBytes += lost;
        this.#say(
          `cut ${this.#report.cuts}: ${this.#fs}, ${kind}, ${what}; ${cached} bytes in the cache, ${lost} lost`,
        );
      });
    } finally {
      await guest.kill();
      await this.#disk.cut(1, 0);
    }
  }

  /** What was acknowledged must be there. */
  async #verify(guest: Guest, opened: { exit: number; stderr: string } | undefined): Promise<boolean> {
    if (opened?.exit !== 0) {
      this.#report.bricked++;
      const said = opened?.stderr ?? 'no answer';
      this.#report.failures.push(said);
      this.#say(`BRICKED: ${said}`);
      return false;
    }
    this.#report.recoveries++;
    const made = /initialised/.test(opened.stderr);
    if (made && this.#everReady) this.#report.formattedAnew++;
    this.#everReady = true;
    const { stdout } = await guest.sh(`touch ${JOURNAL}; cat ${JOURNAL}`);
    const there = new Set(stdout.split('\n'));
    const lost = Array.from({ length: this.#acknowledged }, (_, i) => i + 1).filter((n) => !there.has(`entry ${n}`));
    this.#report.lostAcknowledged += lost.length;
    if (lost.length > 0) this.#say(`${lost.length} of ${this.#acknowledged} acknowledged entries are lost`);
    this.#acknowledged -= lost.length; // numbers go on where the journal ends
    return true;
  }

  /** Opens without a cut and tells what that did to the disk. */
  async record(): Promise<readonly Change[]> {
    const log: Change[] = [];
    this.#disk.onChange = (_, change) => log.push(change);
    await this.#boot(async (guest) => {
      await this.#verify(guest, await guest.sh(openScript(this.#fs)));
    });
    return log;
  }

  /** Boots with the disk as it was after the first `count` changes of a record, some of the unflushed ones lost. */
  async recoverFrom(log: readonly Change[], count: number, keep: number): Promise<boolean> {
    for (const change of log.slice(0, count)) this.#disk.apply(change);
    await this.#disk.cut(this.#dice.below(1e9), keep);
    this.#report.cuts++;
    this.#report.byKind['first boot'] = (this.#report.byKind['first boot'] ?? 0) + 1;
    const good = await this.verify();
    this.#say(`cut ${this.#report.cuts}: ${this.#fs}, first boot replayed to change ${count} of ${log.length}`);
    return good;
  }
}

const pause = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));

export interface RunOptions {
  readonly frozen: FrozenGuest;
  readonly cuts: number;
  readonly seed: number;
  readonly systems: readonly FileSystem[];
  readonly report: Report;
  readonly say: (text: string) => void;
  /** stop beginning new trials after this time of performance.now() */
  readonly until?: number;
}

/** Makes `cuts` more cuts, on as many disks as that takes, and checks each disk at its end. */
export async function cutPower({ frozen, cuts, seed, systems, report, say, until }: RunOptions): Promise<void> {
  const began = performance.now();
  const goal = report.cuts + cuts;
  const dice = new Dice(seed);
  const changes = new Map<FileSystem, number>();
  const more = (): boolean => report.cuts < goal && (until === undefined || performance.now() < until);
  for (let number = 0; more(); number++) {
    const fs = systems[number % systems.length] as FileSystem;
    if (!changes.has(fs)) {
      const scratch = emptyReport();
      const trial = new DiskLife({ frozen, fs, report: scratch, seed: 1, say });
      changes.set(fs, (await trial.record()).length);
      say(`${fs}: a first boot makes ${changes.get(fs)} changes on the disk`);
    }
    const all = changes.get(fs) ?? 1;
    const life = new DiskLife({ frozen, fs, report, seed: seed + 1000 * number, say });
    // the first changes are those of mark, table and header: they get every other cut
    const early = (): number => 1 + dice.below(dice.below(2) === 0 ? Math.min(8, all) : all);
    for (let i = dice.below(2); i < 2 && more(); i++) await life.cutWhileOpening('first boot', early());
    for (let i = 0; i < 3 && more(); i++) {
      if (i > 0 && more()) await life.cutWhileOpening(dice.below(2) === 0 ? 'open' : 'grow', 1 + dice.below(12));
      if (more() && !(await life.cutWhileWriting(200 + dice.below(1800)))) break;
    }
    await life.verify();
  }
  report.seconds += Math.round((performance.now() - began) / 1000);
}

/**
 * The first boot of one disk, recorded, then stopped after every change in turn: one time with nothing kept of what was
 * not flushed, one time with half of its sectors. `from` and `to` choose a part of the changes.
 */
export async function replayFirstBoot(
  { frozen, report, say, until, seed }: Pick<RunOptions, 'frozen' | 'report' | 'say' | 'until' | 'seed'>,
  fs: FileSystem,
  from = 0,
): Promise<number> {
  const began = performance.now();
  const log = await new DiskLife({ frozen, fs, report: emptyReport(), seed: 1, say }).record();
  say(`${fs}: ${log.length} changes, ${log.filter(({ flush }) => flush).length} of them flushes`);
  let at = from;
  for (; at <= 2 * log.length && (until === undefined || performance.now() < until); at++) {
    const life = new DiskLife({ frozen, fs, report, seed: seed + at, say });
    await life.recoverFrom(log, at >> 1, at % 2 === 0 ? 0 : 0.5);
  }
  report.seconds += Math.round((performance.now() - began) / 1000);
  return at;
}

/** The control: entries are called acknowledged without an fsync. The cut must lose some, or the disk proves nothing. */
export async function control(options: Pick<RunOptions, 'frozen' | 'say'>, fs: FileSystem): Promise<Report> {
  const report = emptyReport();
  const life = new DiskLife({ ...options, fs, report, seed: 7, fsync: false });
  await life.cutWhileWriting(1500);
  await life.verify();
  return report;
}
