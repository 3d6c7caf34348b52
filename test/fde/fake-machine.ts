/**
 * A machine for the data disk code: a made-up sysfs tree, sparse files as devices, and stand-ins for the tools that need
 * a kernel (partition tables, device-mapper, mounts, ZFS). They obey the rules of the real ones: cryptsetup answers 2 to
 * a wrong key, a new LUKS volume turns the old payload into noise, a node appears when its partition does. With
 * `realTools` blkid, wipefs, mkfs.ext4, e2fsck and resize2fs are the real programs, on files; without, stand-ins that
 * know LUKS and ext4.
 */
import { createHash, randomBytes } from 'node:crypto';
import * as fs from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { DstackError } from '../../src/errors.ts';
import type { Surface } from '../../src/fde/surface.ts';
import { type RunOptions, type RunResult, run as realRun } from '../../src/sys/exec.ts';
import { exists } from '../../src/sys/files.ts';
import type { MountEntry } from '../../src/sys/mounts.ts';
import type { Program } from '../../src/sys/programs.ts';
import { buildHeader, goodJson } from './header-builder.ts';

const SECTOR = 512;
const ALIGN = 2048;
const HEADER_AREA = 16 * 1024 * 1024;
/** as much of it as ever has content */
const HEADER_BYTES = 65_536;
const MAPPER = 'dstack_data_disk';

interface FakePartition {
  label: string;
  start: number;
  size: number;
  flags: bigint;
}

/** Thrown by the machine to play a power cut: nothing after it happens. */
export class PowerCut extends Error {}

export class FakeMachine implements Surface {
  readonly sysfs: string;
  readonly dev: string;
  /** every command with its arguments, in order */
  readonly calls: string[] = [];
  /** commands that change something count down to a power cut; undefined = never */
  cutAfter: number | undefined;
  readonly #root: string;
  readonly #disks = new Map<string, Map<number, FakePartition>>();
  readonly #mounts: MountEntry[] = [];
  /** payload of an open mapping, by name of the device under it */
  #open: string | undefined;
  #pool: { device: string; datasets: string[]; mountPoint: string; imported: boolean } | undefined;
  #swaps: string[] = [];

  readonly #realTools: boolean;

  private constructor(root: string, realTools: boolean) {
    this.#root = root;
    this.#realTools = realTools;
    this.sysfs = join(root, 'sys');
    this.dev = join(root, 'dev');
  }

  static async create({ realTools = false } = {}): Promise<FakeMachine> {
    const machine = new FakeMachine(await fs.mkdtemp(join(tmpdir(), 'fde-')), realTools);
    await fs.mkdir(join(machine.sysfs, 'class/block'), { recursive: true });
    await fs.mkdir(join(machine.dev, 'mapper'), { recursive: true });
    await fs.mkdir(join(machine.#root, 'payload'));
    return machine;
  }

  async destroy(): Promise<void> {
    await fs.rm(this.#root, { recursive: true, force: true });
  }

  path(name: string): string {
    return join(this.dev, name);
  }

  async addDisk(name: string, mib: number): Promise<string> {
    await fs.mkdir(join(this.sysfs, 'devices', name, 'device'), { recursive: true });
    await fs.symlink(join(this.sysfs, 'devices', name), join(this.sysfs, 'class/block', name));
    this.#disks.set(name, new Map());
    await this.resizeDisk(name, mib);
    return this.path(name);
  }

  async resizeDisk(name: string, mib: number): Promise<void> {
    await fs.writeFile(join(this.sysfs, 'devices', name, 'size'), `${(mib * 1024 * 1024) / SECTOR}\n`);
    await sparse(this.path(name), mib * 1024 * 1024);
  }

  async addPartition(disk: string, number: number, label: string, mib: number, flags = 0n): Promise<string> {
    const table = this.#table(disk);
    table.set(number, { label, start: ALIGN, size: (mib * 1024 * 1024) / SECTOR, flags });
    return this.#announce(disk, number);
  }

  /** attribute bits of partition 1 */
  flags(disk: string): bigint {
    return this.#table(disk).get(1)?.flags ?? 0n;
  }

  /** What survives a restart: disks, nothing else. */
  restart(): void {
    this.cutAfter = undefined;
    this.calls.length = 0;
    this.#mounts.length = 0;
    this.#swaps = [];
    this.#open = undefined;
    if (this.#pool) this.#pool.imported = false;
  }

  /** commands so far that contain all the words */
  count(...words: string[]): number {
    return this.calls.filter((call) => words.every((word) => call.includes(word))).length;
  }

  // --- Surface

  async isBlockDevice(path: string): Promise<boolean> {
    if (path === join(this.dev, 'mapper', MAPPER)) return this.#open !== undefined;
    return path.startsWith(`${this.dev}/`) && (await exists(path));
  }

  async mounts(): Promise<MountEntry[]> {
    return [...this.#mounts];
  }

  async swaps(): Promise<string> {
    return `Filename Type\n${this.#swaps.map((path) => `${path} file\n`).join('')}`;
  }

  run = async (program: Program, args: readonly string[], options: RunOptions = {}): Promise<RunResult> => {
    this.calls.push([program, ...args].join(' '));
    if (!options.readOnly && this.cutAfter !== undefined && this.cutAfter-- <= 0) {
      // the longest-lasting step is also cut in its middle: the old header is gone, the new one not there yet
      if (args[0] === 'luksFormat') await this.#cryptsetup([...args], options, true);
      throw new PowerCut();
    }
    const result = await this.#execute(program, [...args], options);
    if (!(options.ok ?? [0]).includes(result.exit)) {
      throw new DstackError(options.code ?? 'COMMAND_FAILED', `${program} failed with exit status ${result.exit}`, {
        cause: result.stderr || undefined,
      });
    }
    return result;
  };

  async #execute(program: Program, args: string[], options: RunOptions): Promise<RunResult> {
    switch (program) {
      case 'sgdisk':
        return this.#sgdisk(args);
      case 'parted':
        return this.#parted(args);
      case 'cryptsetup':
        return this.#cryptsetup(args, options);
      case 'zpool':
        return this.#zpool(args);
      case 'zfs':
        return this.#zfs(args);
      case 'blkid':
      case 'wipefs':
      case 'mkfsExt4':
      case 'e2fsck':
      case 'resize2fs': {
        const target = await this.#backing(args.at(-1) ?? '');
        if (!this.#realTools) return standIn(program, target);
        return realRun(program, [...args.slice(0, -1), target], { ...options, ok: range(256) });
      }
      case 'mount':
        return this.#mount(args);
      case 'umount': {
        const at = this.#mounts.findLastIndex(({ mountPoint }) => mountPoint === args.at(-1));
        if (at >= 0) this.#mounts.splice(at, 1);
        return at >= 0 ? OK : failed(32);
      }
      case 'veritysetup':
        if (args[0] === 'open') await sparse(join(this.dev, 'mapper', args[2] ?? ''), 4096);
        if (args[0] === 'close') await fs.rm(join(this.dev, 'mapper', args[1] ?? ''));
        return OK;
      case 'swapon':
        this.#swaps.push(args[0] ?? '');
        return OK;
      case 'swapoff':
        this.#swaps = this.#swaps.filter((path) => path !== args[0]);
        return OK;
      case 'modprobe':
        if (args[0] === 'zfs') await fs.mkdir(join(this.sysfs, 'module/zfs'), { recursive: true });
        return OK;
      default:
        return OK; // udevadm, blockdev, sync, mkswap, fallocate
    }
  }

  // --- partition tables

  #table(disk: string): Map<number, FakePartition> {
    const table = this.#disks.get(disk);
    if (table === undefined) throw new Error(`no disk ${disk}`);
    return table;
  }

  async #announce(disk: string, number: number): Promise<string> {
    const name = `${disk}${number}`;
    const part = this.#table(disk).get(number)!;
    const dir = join(this.sysfs, 'devices', disk, name);
    await fs.mkdir(dir, { recursive: true });
    await fs.writeFile(join(dir, 'partition'), `${number}\n`);
    await fs.writeFile(join(dir, 'start'), `${part.start}\n`);
    await fs.writeFile(join(dir, 'size'), `${part.size}\n`);
    const label = part.label === '' ? '' : `PARTNAME=${part.label}\n`;
    await fs.writeFile(join(dir, 'uevent'), `DEVNAME=${name}\nDEVTYPE=partition\nPARTN=${number}\n${label}`);
    if (!(await exists(join(this.sysfs, 'class/block', name)))) {
      await fs.symlink(dir, join(this.sysfs, 'class/block', name));
    }
    await sparse(this.path(name), part.size * SECTOR);
    return this.path(name);
  }

  async #sgdisk(args: string[]): Promise<RunResult> {
    const disk = basename(args.at(-1) ?? '');
    const table = this.#table(disk);
    if (args[0] === '-i') {
      const part = table.get(Number(args[1]));
      if (part === undefined) return { ...OK, stdout: `Partition #${args[1]} does not exist.\n` };
      const flags = part.flags.toString(16).toUpperCase().padStart(16, '0');
      return {
        ...OK,
        stdout: `First sector: ${part.start}\nAttribute flags: ${flags}\nPartition name: '${part.label}'\n`,
      };
    }
    if (args.includes('--clear')) {
      const sectors = Number(await fs.readFile(join(this.sysfs, 'devices', disk, 'size'), 'utf8'));
      const label = args[args.indexOf('-c') + 1]?.split(':')[1] ?? '';
      table.set(1, { label, start: ALIGN, size: sectors - ALIGN - 33, flags: 0n });
    }
    args.forEach((word, i) => {
      if (word !== '-A') return;
      const [number, verb, bit] = args[i + 1]?.split(':') ?? [];
      const part = table.get(Number(number))!;
      const mask = 1n << BigInt(bit ?? 0);
      part.flags = verb === 'set' ? part.flags | mask : part.flags & ~mask;
    });
    if (args.includes('--clear')) await this.#announce(disk, 1);
    return OK;
  }

  async #parted(args: string[]): Promise<RunResult> {
    const [how, disk = '', , number] = args;
    if (how === '--script' && this.#mounts.some(({ source }) => source === `${disk}${number}`)) {
      return {
        ...failed(1),
        stderr: `Warning: Partition ${disk}${number} is being used. Are you sure you want to continue?`,
      };
    }
    const part = this.#table(basename(disk)).get(Number(number))!;
    const sectors = Number(await fs.readFile(join(this.sysfs, 'devices', basename(disk), 'size'), 'utf8'));
    part.size = sectors - part.start - 33;
    await this.#announce(basename(disk), Number(number));
    return OK;
  }

  // --- device-mapper: the payload of a LUKS volume is a file of its own

  #payload(device: string): string {
    return join(this.#root, 'payload', basename(device));
  }

  async #backing(path: string): Promise<string> {
    return path === join(this.dev, 'mapper', MAPPER) && this.#open !== undefined ? this.#payload(this.#open) : path;
  }

  async #cryptsetup(args: string[], options: RunOptions, cut = false): Promise<RunResult> {
    const passphrase = Buffer.from(options.stdin ?? '');
    const device = args.at(-1) ?? '';
    switch (args[0]) {
      case 'luksFormat': {
        const json = goodJson();
        json.digests['0'].digest = fingerprint(passphrase);
        const handle = await fs.open(device, 'r+');
        const { size } = await handle.stat();
        await handle.write(new Uint8Array(HEADER_BYTES), 0, HEADER_BYTES, 0);
        // where the payload begins: the proof that this device is not blank any more must not hang on the header
        await handle.write(randomBytes(4096), 0, 4096, HEADER_AREA);
        if (!cut) await handle.write(buildHeader({ json }), 0, undefined, 0);
        await handle.close();
        await fs.rm(this.#payload(device), { force: true });
        await sparse(this.#payload(device), size - HEADER_AREA);
        return OK;
      }
      case 'luksHeaderBackup': {
        await fs.writeFile(args[2] ?? '', await head(device, HEADER_BYTES));
        return OK;
      }
      case 'luksOpen': {
        const header = await fs.readFile(args[args.indexOf('--header') + 1] ?? '', 'latin1');
        if (!header.includes(fingerprint(passphrase))) return failed(2);
        if (this.#open !== undefined) return failed(5);
        this.#open = args.at(-2) ?? '';
        return OK;
      }
      case 'luksClose':
        // the kernel counts every mount, also bind mounts elsewhere
        if (this.#mounts.some(({ source }) => source.endsWith('/mapper/dstack_data_disk'))) return failed(5);
        this.#open = undefined;
        return OK;
      default:
        throw new Error(`unexpected cryptsetup ${args[0]}`);
    }
  }

  // --- mounts and ZFS

  #mount(args: string[]): RunResult {
    const [source = '', mountPoint = ''] = args.slice(-2);
    if (args.includes('--bind')) {
      const of = this.#mounts.findLast((entry) => `${source}/`.startsWith(`${entry.mountPoint}/`));
      if (of === undefined) return failed(32);
      this.#mounts.push({ ...of, root: source.slice(of.mountPoint.length) || '/', mountPoint });
      return OK;
    }
    const type = args[args.indexOf('-t') + 1] ?? '';
    this.#mounts.push({ device: '0:1', root: '/', mountPoint, type, source, options: 'rw' });
    return OK;
  }

  async #zpool(args: string[]): Promise<RunResult> {
    const device = await this.#backing(args.at(-1) ?? '');
    switch (args[0]) {
      case 'create': {
        await fs.writeFile(device, 'zfs label', { flag: 'r+' });
        this.#pool = { device, datasets: [], mountPoint: '', imported: true };
        return OK;
      }
      case 'import': {
        const from = await this.#backing(args[args.indexOf('-d') + 1] ?? '');
        const labelled = (await head(from, 9)).toString() === 'zfs label';
        if (!labelled || this.#pool?.device !== from) return { ...failed(1), stderr: 'no such pool available' };
        this.#pool.imported = true;
        return OK;
      }
      case 'list':
        return { ...OK, stdout: this.#pool?.imported ? 'dstack\n' : '' };
      case 'export': {
        const { mountPoint = '' } = this.#pool ?? {};
        if (this.#mounts.some((entry) => entry.type === 'zfs' && entry.mountPoint !== mountPoint)) return failed(1);
        const own = this.#mounts.findIndex((entry) => entry.type === 'zfs');
        if (own >= 0) this.#mounts.splice(own, 1);
        if (this.#pool) this.#pool.imported = false;
        return OK;
      }
      default:
        return OK;
    }
  }

  async #zfs(args: string[]): Promise<RunResult> {
    const pool = this.#pool;
    if (!pool?.imported) return failed(1);
    const mountData = (): void => {
      const entry = { device: '0:2', root: '/', mountPoint: pool.mountPoint, type: 'zfs', source: 'dstack/data' };
      this.#mounts.push({ ...entry, options: 'rw' });
    };
    switch (args[0]) {
      case 'create': {
        if (args.includes('-V')) await fs.mkdir(join(this.dev, 'zvol/dstack'), { recursive: true });
        if (args.includes('-V')) await fs.writeFile(join(this.dev, 'zvol/dstack/swap'), '');
        pool.datasets.push(args.at(-1) ?? '');
        if (args.includes('-V')) return OK;
        pool.mountPoint = args.find((word) => word.startsWith('mountpoint='))?.slice(11) ?? '';
        mountData();
        return OK;
      }
      case 'get':
        return pool.datasets.includes('dstack/data') ? { ...OK, stdout: `${pool.mountPoint}\n` } : failed(1);
      case 'set': {
        const value = args[1] ?? '';
        if (value.startsWith('mountpoint=')) pool.mountPoint = value.slice(11);
        return OK;
      }
      case 'mount':
        mountData();
        return OK;
      case 'list':
        return pool.datasets.includes(args.at(-1) ?? '') ? { ...OK, stdout: `${args.at(-1)}\n` } : failed(1);
      case 'destroy':
        pool.datasets = pool.datasets.filter((name) => name !== args.at(-1));
        return OK;
      default:
        throw new Error(`unexpected zfs ${args[0]}`);
    }
  }
}

const OK: RunResult = { exit: 0, stdout: '', stderr: '' };
const failed = (exit: number): RunResult => ({ exit, stdout: '', stderr: '' });
const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
const fingerprint = (passphrase: Uint8Array): string => createHash('sha256').update(passphrase).digest('base64');

async function sparse(path: string, size: number): Promise<void> {
  const handle = await fs.open(path, 'a');
  await handle.truncate(size);
  await handle.close();
}

async function head(path: string, length: number): Promise<Buffer> {
  const handle = await fs.open(path, 'r');
  const bytes = Buffer.alloc(length);
  await handle.read(bytes, 0, length, 0);
  await handle.close();
  return bytes;
}

const EXT4_MAGIC = { at: 1080, bytes: '53ef' };

/** ext4 is its magic number here, and LUKS too: enough for the decisions, without a process. */
async function standIn(program: Program, path: string): Promise<RunResult> {
  const bytes = await head(path, 16_390);
  const isExt4 = bytes.toString('hex', EXT4_MAGIC.at, EXT4_MAGIC.at + 2) === EXT4_MAGIC.bytes;
  const isLuks = bytes.toString('latin1', 0, 4) === 'LUKS' || bytes.toString('latin1', 16_384, 16_388) === 'SKUL';
  const type = isExt4 ? 'ext4' : isLuks ? 'crypto_LUKS' : '';
  switch (program) {
    case 'blkid':
      return type === '' ? failed(2) : { ...OK, stdout: `TYPE=${type}\n` };
    case 'wipefs':
      return { ...OK, stdout: JSON.stringify({ signatures: type === '' ? [] : [{ type, offset: '0x438' }] }) };
    case 'mkfsExt4':
      await poke(path, EXT4_MAGIC.at, Buffer.from(EXT4_MAGIC.bytes, 'hex'));
      return OK;
    default:
      return isExt4 ? OK : failed(8);
  }
}

/** Writes bytes into a device file. */
export async function poke(path: string, at: number, bytes: Uint8Array | string): Promise<void> {
  const handle = await fs.open(path, 'r+');
  await handle.write(Buffer.from(bytes), 0, undefined, at);
  await handle.close();
}
