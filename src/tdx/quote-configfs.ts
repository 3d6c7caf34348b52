/**
 * Quotes through the kernel's configfs-tsm interface (Documentation/ABI/testing/configfs-tsm-report; dstack measurement,
 * configfs procedure). The generation counter tells whether somebody else wrote between our write and our read.
 */
import { DstackError } from '../errors.ts';
import * as ui from '../ui.ts';
import { ENV_CONFIGFS_PATH, TDX_PROVIDER, TSM_ENTRY } from './platform.ts';
import { errnoOf, type KernelFiles, overrideDirectory, pathOf, type TdxMachine } from './tdx-machine.ts';

const TRIES = 3;
const RETRY_PAUSE_MS = 10_000;
const GENERATION_POLL_MS = 10;
const GENERATION_WAIT_MS = 5_000;
const PROVIDER_CHECKS = 5;
/** The quote is read with one read of this size. */
const OUTBLOB_LIMIT = 8192;
const MIN_QUOTE = 1020;

/** Paths where making the entry failed once in this process: a second attempt errors immediately. */
const gaveUp = new Set<string>();

/**
 * Takes a quote for 64 bytes of report data.
 * @throws CONFIGFS_UNAVAILABLE, QUOTE_BUSY, QUOTE_TIMEOUT, QUOTE_EMPTY, QUOTE_INVALID, QUOTE_UNAVAILABLE
 */
export async function configfsQuote(reportData: Uint8Array, machine: TdxMachine): Promise<Uint8Array> {
  const files = machine.files;
  const dir = await entryDirectory(machine, files);
  const release = await lockInblob(`${dir}/inblob`, files);
  try {
    const before = await generation(dir, files);
    await writeInblob(`${dir}/inblob`, reportData, files, machine);
    const written = await nextGeneration(dir, before, files, machine);
    const quote = await readOutblob(`${dir}/outblob`, files, machine);
    const after = await generation(dir, files);
    if (after !== written) throw busy(dir, `the generation moved from ${written} to ${after} while the quote was read`);
    return checkSize(quote, dir);
  } finally {
    await release();
  }
}

const busy = (dir: string, why: string): DstackError =>
  new DstackError('QUOTE_BUSY', `device busy: ${why}`, { path: dir, field: 'generation' });

const unavailable = (path: string, what: string, cause?: unknown): DstackError =>
  new DstackError('CONFIGFS_UNAVAILABLE', `${what} ${path}`, { path, cause });

async function isTdxEntry(dir: string, files: KernelFiles): Promise<boolean> {
  try {
    const provider = Buffer.from(await files.read(`${dir}/provider`, 64)).toString('latin1');
    return provider.trim().startsWith(TDX_PROVIDER);
  } catch {
    return false;
  }
}

/** The report entry: the override, the default one, or the default one made now. */
async function entryDirectory(machine: TdxMachine, files: KernelFiles): Promise<string> {
  const override = await overrideDirectory(ENV_CONFIGFS_PATH, files, 'CONFIGFS_UNAVAILABLE');
  if (override !== undefined) {
    if (await isTdxEntry(override, files)) return override;
    throw unavailable(override, `${ENV_CONFIGFS_PATH} names a directory whose provider is not ${TDX_PROVIDER}:`);
  }
  const dir = pathOf(machine, TSM_ENTRY);
  if (await isTdxEntry(dir, files)) return dir;
  if (gaveUp.has(dir)) throw unavailable(dir, 'an earlier attempt in this process failed to create');
  gaveUp.add(dir);
  if (!(await files.isDirectory(dir))) {
    try {
      await files.makeDirectory(dir);
    } catch (thrown) {
      // another process may have made it between our look and our mkdir
      if (errnoOf(thrown) !== 'EEXIST') throw unavailable(dir, 'cannot create', thrown);
    }
  }
  for (let check = 0; check < PROVIDER_CHECKS; check++) {
    if (await isTdxEntry(dir, files)) {
      gaveUp.delete(dir);
      return dir;
    }
  }
  throw unavailable(dir, `the provider is not ${TDX_PROVIDER} in`);
}

async function lockInblob(path: string, files: KernelFiles): Promise<() => Promise<void>> {
  try {
    return await files.lock(path);
  } catch (thrown) {
    if (thrown instanceof DstackError) throw thrown;
    throw unavailable(path, 'cannot lock', thrown);
  }
}

async function generation(dir: string, files: KernelFiles): Promise<number> {
  const path = `${dir}/generation`;
  let text: string;
  try {
    text = Buffer.from(await files.read(path, 64))
      .toString('latin1')
      .trim();
  } catch (thrown) {
    throw unavailable(path, 'cannot read', thrown);
  }
  if (!/^\d{1,15}$/.test(text)) {
    throw new DstackError('CONFIGFS_UNAVAILABLE', `generation in ${path} is not a number`, { path, value: text });
  }
  return Number(text);
}

/** Three tries: a busy device is given ten seconds between two, a file that does not open is tried again at once. */
async function writeInblob(path: string, data: Uint8Array, files: KernelFiles, machine: TdxMachine): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await files.write(path, data);
      return;
    } catch (thrown) {
      const busyDevice = errnoOf(thrown) === 'EBUSY';
      const notOpened = (thrown as NodeJS.ErrnoException).syscall === 'open';
      if (notOpened && attempt < TRIES) continue;
      if (!busyDevice || notOpened) {
        throw new DstackError('QUOTE_UNAVAILABLE', `cannot write report data to ${path}`, { path, cause: thrown });
      }
      if (attempt === TRIES) {
        throw new DstackError('QUOTE_BUSY', `device busy: ${path} refused ${TRIES} writes`, { path, cause: thrown });
      }
      ui.debug(`${path} is busy, try ${attempt + 1} of ${TRIES} follows`);
      await machine.sleep(RETRY_PAUSE_MS);
    }
  }
}

/** Waits until our write has been counted. Two steps at once mean that somebody ignores the lock. */
async function nextGeneration(dir: string, before: number, files: KernelFiles, machine: TdxMachine): Promise<number> {
  for (let waited = 0; waited <= GENERATION_WAIT_MS; waited += GENERATION_POLL_MS) {
    const now = await generation(dir, files);
    if (now === before + 1) return now;
    if (now !== before) throw busy(dir, `the generation went from ${before} to ${now} with one write`);
    await machine.sleep(GENERATION_POLL_MS);
  }
  throw busy(dir, `the generation stayed at ${before} for ${GENERATION_WAIT_MS} ms after the write`);
}

const RETRY_READ: ReadonlySet<string> = new Set(['EBUSY', 'EINTR', 'ETIMEDOUT']);

async function readOutblob(path: string, files: KernelFiles, machine: TdxMachine): Promise<Uint8Array> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await files.read(path, OUTBLOB_LIMIT);
    } catch (thrown) {
      const errno = errnoOf(thrown);
      if (!RETRY_READ.has(errno)) {
        throw new DstackError('QUOTE_UNAVAILABLE', `the quoting service gave no quote: cannot read ${path}`, {
          path,
          cause: thrown,
        });
      }
      if (attempt === TRIES) {
        const code = errno === 'ETIMEDOUT' ? 'QUOTE_TIMEOUT' : 'QUOTE_BUSY';
        throw new DstackError(code, `the quoting service gave no quote: ${path} failed ${TRIES} times`, {
          path,
          cause: thrown,
        });
      }
      ui.debug(`${path} answered ${errno}, try ${attempt + 1} of ${TRIES} follows`);
      await machine.sleep(RETRY_PAUSE_MS);
    }
  }
}

function checkSize(quote: Uint8Array, dir: string): Uint8Array {
  const path = `${dir}/outblob`;
  if (quote.length === 0) {
    throw new DstackError(
      'QUOTE_EMPTY',
      `the quoting service (QGS) of the host answered without a quote: ${path} is empty`,
      {
        path,
      },
    );
  }
  if (quote.length <= MIN_QUOTE || quote.length >= OUTBLOB_LIMIT) {
    throw new DstackError('QUOTE_INVALID', `the quote in ${path} has ${quote.length} bytes`, {
      path,
      field: 'size',
      value: quote.length,
    });
  }
  return quote;
}
