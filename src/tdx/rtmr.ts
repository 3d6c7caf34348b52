/** Runtime measurement registers: extend and read (dstack measurement, RTMR extension). */
import { DstackError, type ErrorCode } from '../errors.ts';
import { TDX_DEVICE } from './platform.ts';
import { REGISTER_SIZE } from './replay.ts';
import { takeReport } from './report.ts';
import { deviceIoctl, errnoOf, overrideDirectory, pathExists, pathOf, type TdxMachine } from './tdx-machine.ts';

export const ENV_RTMR_PATH = 'DCAP_TDX_RTMR_SYSFS_PATH';
const MEASUREMENTS_DIR = '/sys/devices/virtual/misc/tdx_guest/measurements';
/** _IOR('T', 3, 49 bytes): struct { u8 data[48]; u8 index } */
export const TDX_CMD_EXTEND_RTMR = 0x80315403;
const READ_LIMIT = 256;

const attributeName = (index: number): string => `rtmr${index}:sha384`;

/** Directory with the measurement attributes, or undefined when this kernel has none. */
async function measurementsDir(machine: TdxMachine): Promise<string | undefined> {
  const override = await overrideDirectory(ENV_RTMR_PATH, machine.files);
  if (override !== undefined) return override;
  const dir = pathOf(machine, MEASUREMENTS_DIR);
  return (await machine.files.isDirectory(dir)) ? dir : undefined;
}

function checkIndex(index: number): void {
  if (!Number.isInteger(index) || index < 0 || index > 3) {
    throw new DstackError('RTMR_INDEX_INVALID', `register index ${index} is not 0 to 3`, {
      field: 'index',
      value: index,
    });
  }
}

function failure(thrown: unknown, action: 'extend' | 'read', index: number, path: string): DstackError {
  const errno = errnoOf(thrown);
  let code: ErrorCode = action === 'extend' ? 'RTMR_EXTEND_FAILED' : 'RTMR_READ_FAILED';
  let why = '';
  if (errno === 'EINVAL') {
    code = 'RTMR_INDEX_INVALID';
    why = ': the kernel refuses this index';
  } else if (errno === 'EPERM' || errno === 'EACCES') {
    code = 'RTMR_PERMISSION';
    why = ': permission denied';
  } else if (errno === 'ENOTTY') {
    why = ': the driver of this kernel has no such call, it needs the measurement attributes of Linux 6.16';
  }
  return new DstackError(code, `cannot ${action} RTMR${index} through ${path}${why}`, { path, cause: thrown });
}

/**
 * Extends a register: RTMR = SHA-384(RTMR | digest). The measurement attributes of the kernel are used where they exist,
 * else the ioctl of the TDX device; once chosen there is no fallback.
 * @param index 0 to 3; the kernel itself allows 2 and 3
 * @param digest 48 bytes
 * @throws RTMR_INDEX_INVALID, RTMR_PERMISSION, RTMR_EXTEND_FAILED, RTMR_PATH_INVALID
 */
export async function extendRtmr(index: number, digest: Uint8Array, machine: TdxMachine): Promise<void> {
  checkIndex(index);
  if (digest.length !== REGISTER_SIZE) {
    throw new DstackError(
      'RTMR_EXTEND_FAILED',
      `cannot extend RTMR${index}: the digest has ${digest.length} bytes, not 48`,
    );
  }
  const dir = await measurementsDir(machine);
  if (dir !== undefined) {
    const path = `${dir}/${attributeName(index)}`;
    try {
      await machine.files.write(path, digest);
    } catch (thrown) {
      throw failure(thrown, 'extend', index, path);
    }
    return;
  }
  const device = pathOf(machine, TDX_DEVICE);
  if (!pathExists(device)) {
    throw new DstackError(
      'RTMR_EXTEND_FAILED',
      `cannot extend RTMR${index}: neither ${MEASUREMENTS_DIR} nor ${device} exists`,
      { path: device },
    );
  }
  const request = new Uint8Array(REGISTER_SIZE + 1);
  request.set(digest);
  request[REGISTER_SIZE] = index;
  try {
    await deviceIoctl(device, TDX_CMD_EXTEND_RTMR, request);
  } catch (thrown) {
    throw failure(thrown, 'extend', index, device);
  }
}

/**
 * The current value of a register, 48 bytes: from its measurement attribute, else from a TD report.
 * @throws RTMR_INDEX_INVALID, RTMR_READ_FAILED, RTMR_PERMISSION, RTMR_PATH_INVALID
 */
export async function readRtmr(index: number, machine: TdxMachine): Promise<Uint8Array> {
  checkIndex(index);
  const dir = await measurementsDir(machine);
  if (dir === undefined) return registerOfReport(index, machine);
  const path = `${dir}/${attributeName(index)}`;
  let value: Uint8Array;
  try {
    value = await machine.files.read(path, READ_LIMIT);
  } catch (thrown) {
    // an override may stand for another machine than the device: then the device has nothing to say
    if (process.env[ENV_RTMR_PATH] === undefined && pathExists(pathOf(machine, TDX_DEVICE))) {
      const reported = await registerOfReport(index, machine).catch(() => undefined);
      if (reported !== undefined) return reported;
    }
    throw failure(thrown, 'read', index, path);
  }
  if (value.length !== REGISTER_SIZE) {
    throw new DstackError('RTMR_READ_FAILED', `RTMR${index} read from ${path} has ${value.length} bytes, not 48`, {
      path,
    });
  }
  return value;
}

async function registerOfReport(index: number, machine: TdxMachine): Promise<Uint8Array> {
  const path = pathOf(machine, TDX_DEVICE);
  try {
    const { rtmrs } = await takeReport(new Uint8Array(64), machine);
    return rtmrs[index] ?? new Uint8Array(REGISTER_SIZE);
  } catch (thrown) {
    throw new DstackError('RTMR_READ_FAILED', `cannot read RTMR${index} from a TD report of ${path}`, {
      path,
      cause: thrown,
    });
  }
}
