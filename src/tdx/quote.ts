/** Taking a quote: one at a time in this process, by the method this guest offers (dstack measurement, quote). */
import { cut } from '../codec/bytes.ts';
import { DstackError, errorChain } from '../errors.ts';
import * as ui from '../ui.ts';
import { ENV_CONFIGFS_PATH, TSM_ENTRY, TSM_REPORT_DIR } from './platform.ts';
import { configfsQuote } from './quote-configfs.ts';
import { qgsPort, ServiceUnreachable, vsockQuote } from './quote-qgs.ts';
import { checkReportDataSize } from './report.ts';
import { pathOf, type TdxMachine } from './tdx-machine.ts';

/** Tail of the queue: the kernel serves one quote at a time, so waiting here is cheaper than EBUSY there. */
let queue: Promise<unknown> = Promise.resolve();

/**
 * Takes a TDX quote that binds 64 bytes of report data.
 * @returns the quote, 1020 to 16360 bytes
 * @throws REPORT_DATA_INVALID, QUOTE_UNAVAILABLE, QUOTE_BUSY, QUOTE_TIMEOUT, QUOTE_EMPTY, CONFIGFS_UNAVAILABLE
 */
export async function takeQuote(reportData: Uint8Array, machine: TdxMachine): Promise<Uint8Array> {
  checkReportDataSize(reportData);
  const bound = cut(reportData); // the caller may reuse its buffer while this one waits
  const turn = queue.then(
    () => quoteNow(bound, machine),
    () => quoteNow(bound, machine),
  );
  queue = turn;
  return turn;
}

/** How long the quote service is left alone after it could not be reached, where configfs is there as well. */
const SERVICE_PAUSE_MS = 60_000;
const unreachable = new Map<number, number>();

/**
 * Chooses the method. An override of the configfs entry decides alone. Else the quote service comes first where a port is
 * configured: it answers in milliseconds, while the kernel's own way asks the same service and polls for a second. A
 * service that cannot be reached leaves configfs; one that was reached has the last word, good or bad.
 */
async function quoteNow(reportData: Uint8Array, machine: TdxMachine): Promise<Uint8Array> {
  const files = machine.files;
  if (process.env[ENV_CONFIGFS_PATH] !== undefined) return configfsQuote(reportData, machine);
  const configfs =
    (await files.isDirectory(pathOf(machine, TSM_ENTRY))) || (await files.isDirectory(pathOf(machine, TSM_REPORT_DIR)));
  const port = await qgsPort(machine);
  if (port !== undefined && !(configfs && resting(port))) {
    try {
      const quote = await vsockQuote(reportData, port, machine, configfs ? { connectTimeoutMs: 2_000 } : {});
      ui.debug(`quote of ${quote.length} bytes from the quote service at vsock port ${port}`);
      return quote;
    } catch (thrown) {
      if (!configfs || !(thrown instanceof ServiceUnreachable)) throw thrown;
      unreachable.set(port, Date.now() + SERVICE_PAUSE_MS);
      ui.debug(`${errorChain(thrown)}: configfs is used for the next ${ui.duration(SERVICE_PAUSE_MS)}`);
    }
  }
  if (configfs) return configfsQuote(reportData, machine);
  throw new DstackError(
    'QUOTE_UNAVAILABLE',
    `no way to take a quote: ${TSM_REPORT_DIR} does not exist and no quote service port is configured`,
    { path: pathOf(machine, TSM_REPORT_DIR) },
  );
}

const resting = (port: number): boolean => Date.now() < (unreachable.get(port) ?? 0);
