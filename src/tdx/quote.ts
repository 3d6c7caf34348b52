/** Taking a quote: one at a time in this process, by the method this guest offers (dstack measurement, quote). */
import { cut } from '../codec/bytes.ts';
import { DstackError } from '../errors.ts';
import { ENV_CONFIGFS_PATH, TSM_ENTRY, TSM_REPORT_DIR } from './platform.ts';
import { configfsQuote } from './quote-configfs.ts';
import { qgsPort, vsockQuote } from './quote-qgs.ts';
import { checkReportData } from './report.ts';
import { filesOf, pathOf, type TdxSystem } from './system.ts';

/** Tail of the queue: the kernel serves one quote at a time, so waiting here is cheaper than EBUSY there. */
let queue: Promise<unknown> = Promise.resolve();

/**
 * Takes a TDX quote that binds 64 bytes of report data.
 * @returns the quote, 1021 to 16383 bytes
 * @throws REPORT_DATA_INVALID, QUOTE_UNAVAILABLE, QUOTE_BUSY, QUOTE_TIMEOUT, QUOTE_EMPTY, CONFIGFS_UNAVAILABLE
 */
export async function takeQuote(reportData: Uint8Array, system: TdxSystem = {}): Promise<Uint8Array> {
  checkReportData(reportData);
  const bound = cut(reportData); // the caller may reuse its buffer while this one waits
  const turn = queue.then(
    () => quoteNow(bound, system),
    () => quoteNow(bound, system),
  );
  queue = turn;
  return turn;
}

/** Chooses the method; once chosen there is no fallback to the other. */
async function quoteNow(reportData: Uint8Array, system: TdxSystem): Promise<Uint8Array> {
  const files = filesOf(system);
  const configfs =
    process.env[ENV_CONFIGFS_PATH] !== undefined ||
    (await files.isDirectory(pathOf(system, TSM_ENTRY))) ||
    (await files.isDirectory(pathOf(system, TSM_REPORT_DIR)));
  if (configfs) return configfsQuote(reportData, system);
  const port = await qgsPort(system);
  if (port !== undefined) return vsockQuote(reportData, port, system);
  throw new DstackError(
    'QUOTE_UNAVAILABLE',
    `no way to take a quote: ${TSM_REPORT_DIR} does not exist and no quote service port is configured`,
    { path: pathOf(system, TSM_REPORT_DIR) },
  );
}
