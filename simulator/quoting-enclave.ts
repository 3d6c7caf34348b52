/**
 * Plays the quoting enclave beside the simulated TDX device: sets the initial registers, provides the boot event log that
 * explains them, then turns each TD report into a quote (ABI of the device: see the kernel module's README).
 */
import * as fs from 'node:fs/promises';
import { loadBootMachine, loadHostShare } from '../src/boot/boot.ts';
import { concat } from '../src/codec/bytes.ts';
import { DstackError } from '../src/errors.ts';
import { run } from '../src/sys/exec.ts';
import { ifExists, readLimited } from '../src/sys/files.ts';
import { mountAt } from '../src/sys/mounts.ts';
import { native } from '../src/sys/native.ts';
import { sdNotify } from '../src/sys/notify.ts';
import { parseCcel } from '../src/tdx/ccel.ts';
import { replay } from '../src/tdx/replay.ts';
import { TD_REPORT_SIZE } from '../src/tdx/report.ts';
import * as ui from '../src/ui.ts';
import { mockCcel } from './mock-ccel.ts';
import { contentOfReport, mockQuote } from './mock-quote.ts';
import { type MockPki, mockPki } from './pki.ts';
import { CLAIM_FILE, CLAIM_LIMIT, readClaim, type ShareReader, type SystemClaim } from './system-claim.ts';
import { publishTrustAnchors } from './trust-anchors.ts';

export const QE_DEVICE = '/dev/dstack_tdx_qe';
/** _IOW('D', 1, 240 bytes): MRTD and RTMR0 to RTMR3 */
export const QE_CMD_INITIAL = 0x40f04401;
/** the measurement of the simulated firmware */
export const MOCK_MRTD: Uint8Array = new Uint8Array(48).fill(0x11);

export interface EnclaveOptions {
  readonly seed: Uint8Array;
  /** a boot event log to use instead of the synthetic one */
  readonly ccelFile?: string;
  /** take MRTD and boot event log from the host share, where there are any */
  readonly share?: boolean;
  /** folder of ACPI table data in sysfs */
  readonly tablesDir: string;
}

/** Initial values that agree with a boot event log: MRTD, three replayed registers, RTMR3 zero; 240 bytes. */
export function initialRegisters(ccel: Uint8Array, mrtd: Uint8Array = MOCK_MRTD): Uint8Array {
  const events = parseCcel(ccel);
  return concat(mrtd, replay(events, 0), replay(events, 1), replay(events, 2), new Uint8Array(48));
}

/** Runs until the process is ended. */
export async function runEnclave(options: EnclaveOptions): Promise<never> {
  const pki = mockPki(options.seed);
  const { mrtd, ccel } = await measuredBoot(options);
  const registers = initialRegisters(ccel, mrtd);
  const device = await openDevice();
  await initialise(device, registers);
  await provideCcel(ccel, options.tablesDir);
  await publishTrustAnchors(pki);
  await sdNotify('READY=1', 'STATUS=answering quote requests');
  ui.info(`quoting enclave answers at ${QE_DEVICE}`);
  for (;;) await answerOne(device, pki);
}

/** What the device starts with: of a file, of the share, else made up. */
async function measuredBoot({ ccelFile, share }: EnclaveOptions): Promise<SystemClaim> {
  if (ccelFile !== undefined) return { mrtd: MOCK_MRTD, ccel: new Uint8Array(await fs.readFile(ccelFile)) };
  const claim = share === true ? await readClaim(hostShare) : undefined;
  if (claim === undefined) ui.info('the share says nothing of the image: its measurements are made up');
  return claim ?? { mrtd: MOCK_MRTD, ccel: mockCcel() };
}

/** Beside the mount of `setup`, which comes later and knows nothing of this one. */
const SHARE_DIR = '/run/dstack-sim-share';
const hostShare: ShareReader = {
  mount: async () => (await loadHostShare()).mountHostShare(SHARE_DIR, (await loadBootMachine()).realBootMachine),
  read: () => ifExists(() => readLimited(`${SHARE_DIR}/${CLAIM_FILE}`, CLAIM_LIMIT)),
  unmount: async () => (await loadHostShare()).unmountHostShare(SHARE_DIR, (await loadBootMachine()).realBootMachine),
  pause: () => new Promise((resolve) => setTimeout(resolve, 500)),
};

async function openDevice(): Promise<fs.FileHandle> {
  try {
    return await fs.open(QE_DEVICE, 'r+');
  } catch (thrown) {
    throw new DstackError('TEE_NOT_FOUND', `cannot open ${QE_DEVICE}`, {
      path: QE_DEVICE,
      cause: thrown,
      hint: 'load the kernel module dstack_tdx_sim: it exists in images of the dev profile only',
    });
  }
}

async function initialise(device: fs.FileHandle, registers: Uint8Array): Promise<void> {
  try {
    (await native()).ioctl(device.fd, QE_CMD_INITIAL, registers);
  } catch (thrown) {
    // a restarted enclave finds registers that are already in use: they keep their values
    if ((thrown as NodeJS.ErrnoException).code !== 'EBUSY') throw thrown;
    ui.info('the registers are already in use and keep their values');
  }
}

/** Puts the log where the firmware's table data would be, which needs a tmpfs over that read-only folder. */
async function provideCcel(ccel: Uint8Array, tablesDir: string): Promise<void> {
  if ((await mountAt(tablesDir))?.type !== 'tmpfs') {
    await run('mount', ['-t', 'tmpfs', '-o', 'size=256k,mode=0500,nosuid,nodev,noexec', 'dstack-sim', tablesDir]);
  }
  const path = `${tablesDir}/CCEL`;
  await fs.rm(path, { force: true });
  await fs.writeFile(path, ccel, { mode: 0o400, flag: 'wx' });
}

/** Takes one request and answers it; a single byte tells the driver that it failed. */
async function answerOne(device: fs.FileHandle, pki: MockPki): Promise<void> {
  const report = new Uint8Array(TD_REPORT_SIZE);
  const { bytesRead } = await device.read(report, 0, report.length, null);
  let answer = Uint8Array.of(0);
  if (bytesRead === TD_REPORT_SIZE) {
    answer = Uint8Array.from(mockQuote(pki, contentOfReport(report)));
  } else {
    ui.error(`a request has ${bytesRead} bytes, not ${TD_REPORT_SIZE}`);
  }
  try {
    await device.write(answer, 0, answer.length, null);
    ui.debug(`answered a request with ${answer.length} bytes`);
  } catch (thrown) {
    // EINVAL: whoever asked has given up
    ui.warn(`an answer came too late: ${String(thrown)}`);
  }
}
