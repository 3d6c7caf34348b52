/**
 * A fake of the kernel's TDX interfaces that obeys the kernel's rules: configfs-tsm with its generation counters
 * (drivers/virt/coco/tsm.c), the measurement attributes of the TDX driver, flock. It does not just return success.
 */
import { createHash } from 'node:crypto';
import type { KernelFiles } from '../../src/tdx/tdx-machine.ts';

const INBLOB_MAX = 64;

/** An errno error as Node throws it. */
export function errno(code: string, call = 'fake'): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: ${call}`), { code });
}

interface Entry {
  provider: string;
  inblob: Uint8Array | undefined;
  outblob: Uint8Array | undefined;
  writeGeneration: number;
  /** generation the cached outblob belongs to */
  readGeneration: number;
}

export interface FakeTsmOptions {
  /** directory of reports, default the real one */
  readonly reportDir?: string;
  /** directory of measurement attributes; absent: this kernel has none */
  readonly measurementsDir?: string;
  readonly provider?: string;
  /** the quoting enclave: what a request becomes */
  readonly quote?: (inblob: Uint8Array, fake: FakeTsm) => Uint8Array | Promise<Uint8Array>;
}

export class FakeTsm implements KernelFiles {
  readonly reportDir: string;
  readonly measurementsDir: string | undefined;
  readonly registers: Uint8Array[] = [0, 1, 2, 3].map(() => new Uint8Array(48));
  /** every call as `verb path` in order */
  readonly calls: string[] = [];
  /** errors to throw by the next calls, keyed by `verb basename` */
  readonly failures = new Map<string, NodeJS.ErrnoException[]>();
  /** called after each call, e.g. to interfere like another process */
  after: ((call: string) => void) | undefined;
  readonly #entries = new Map<string, Entry>();
  readonly #locks = new Map<string, Promise<void>>();
  readonly #provider: string;
  readonly #quote: NonNullable<FakeTsmOptions['quote']>;
  #inFlight = false;

  constructor(options: FakeTsmOptions = {}) {
    this.reportDir = options.reportDir ?? '/sys/kernel/config/tsm/report';
    this.measurementsDir = options.measurementsDir;
    this.#provider = options.provider ?? 'tdx_guest';
    this.#quote = options.quote ?? ((inblob) => Uint8Array.from({ length: 2000 }, (_, i) => inblob[i % 64] ?? 0));
  }

  /** Makes the call fail with these errors, one after the other. */
  fail(call: string, ...codes: string[]): void {
    this.failures.set(
      call,
      codes.map((code) => errno(code, call)),
    );
  }

  entry(path: string): Entry {
    const found = this.#entries.get(path);
    if (!found) throw errno('ENOENT', path);
    return found;
  }

  #enter(verb: string, path: string): void {
    this.calls.push(`${verb} ${path}`);
    const failure = this.failures.get(`${verb} ${path.slice(path.lastIndexOf('/') + 1)}`)?.shift();
    if (failure) throw failure;
  }

  #leave(verb: string, path: string): void {
    this.after?.(`${verb} ${path.slice(path.lastIndexOf('/') + 1)}`);
  }

  async isDirectory(path: string): Promise<boolean> {
    return path === this.reportDir || path === this.measurementsDir || this.#entries.has(path);
  }

  async makeDirectory(path: string): Promise<void> {
    this.#enter('mkdir', path);
    if (this.#entries.has(path)) throw errno('EEXIST', path);
    if (path.slice(0, path.lastIndexOf('/')) !== this.reportDir) throw errno('ENOENT', path);
    this.#entries.set(path, {
      provider: this.#provider,
      inblob: undefined,
      outblob: undefined,
      writeGeneration: 0,
      readGeneration: 0,
    });
  }

  async read(path: string, limit: number): Promise<Uint8Array> {
    this.#enter('read', path);
    const bytes = await this.#readAttribute(path);
    this.#leave('read', path);
    return bytes.slice(0, limit);
  }

  async #readAttribute(path: string): Promise<Uint8Array> {
    const register = this.#register(path);
    if (register !== undefined) return this.registers[register] ?? new Uint8Array();
    const [dir, name] = [path.slice(0, path.lastIndexOf('/')), path.slice(path.lastIndexOf('/') + 1)];
    const entry = this.entry(dir);
    switch (name) {
      case 'provider':
        return Buffer.from(`${entry.provider}\n`);
      case 'generation':
        return Buffer.from(`${entry.writeGeneration}\n`);
      case 'outblob':
        return this.#readOutblob(entry);
      case 'inblob':
        throw errno('EACCES', path); // write-only
      default:
        throw errno('ENOENT', path);
    }
  }

  async #readOutblob(entry: Entry): Promise<Uint8Array> {
    if (entry.inblob === undefined) throw errno('EINVAL', 'outblob before inblob');
    if (entry.outblob !== undefined && entry.readGeneration === entry.writeGeneration) return entry.outblob;
    if (entry.inblob.length !== INBLOB_MAX) throw errno('EINVAL', 'report_new');
    if (this.#inFlight) throw errno('EBUSY', 'quote in flight');
    this.#inFlight = true;
    try {
      const generation = entry.writeGeneration;
      entry.outblob = await this.#quote(entry.inblob, this);
      entry.readGeneration = generation;
      return entry.outblob;
    } finally {
      this.#inFlight = false;
    }
  }

  async write(path: string, bytes: Uint8Array): Promise<void> {
    this.#enter('write', path);
    const register = this.#register(path);
    if (register !== undefined) this.#extend(register, bytes);
    else this.writeInblob(path, bytes);
    this.#leave('write', path);
  }

  /** One write to inblob, also as another process would do it. */
  writeInblob(path: string, bytes: Uint8Array): void {
    const entry = this.entry(path.slice(0, path.lastIndexOf('/')));
    if (!path.endsWith('/inblob')) throw errno('EACCES', path);
    if (bytes.length > INBLOB_MAX) throw errno('EFBIG', path); // configfs: larger than the attribute
    entry.inblob = bytes.slice();
    entry.writeGeneration += 1;
  }

  #register(path: string): number | undefined {
    if (this.measurementsDir === undefined || !path.startsWith(`${this.measurementsDir}/`)) return undefined;
    const found = /^rtmr([0-3]):sha384$/.exec(path.slice(this.measurementsDir.length + 1));
    if (found?.[1] === undefined) throw errno('ENOENT', path);
    return Number(found[1]);
  }

  #extend(index: number, digest: Uint8Array): void {
    if (index < 2) throw errno('EACCES', `rtmr${index}`); // read-only attribute
    if (digest.length !== 48) throw errno('EINVAL', `rtmr${index}`);
    const register = this.registers[index] ?? new Uint8Array(48);
    this.registers[index] = new Uint8Array(createHash('sha384').update(register).update(digest).digest());
  }

  async lock(path: string): Promise<() => Promise<void>> {
    this.#enter('lock', path);
    this.entry(path.slice(0, path.lastIndexOf('/')));
    const before = this.#locks.get(path) ?? Promise.resolve();
    let release = (): void => {};
    this.#locks.set(path, new Promise<void>((resolve) => (release = resolve)));
    await before;
    return async () => {
      this.calls.push(`unlock ${path}`);
      release();
    };
  }
}
