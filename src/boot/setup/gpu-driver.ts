/**
 * What the driver says about its GPUs, through `nvidia-smi`, which an image for NVIDIA GPUs has beside the driver. Its text
 * is not promised to stay as it is, so anything but the known lines is refused. Source: NVIDIA, deployment guide of
 * confidential computing (`conf-compute -f`, `-d`, `-srs`); nvidia-smi(1).
 */
import { DstackError } from '../../errors.ts';
import type { BootMachine } from '../boot-machine.ts';

const TIMEOUT_MS = 30_000;

export interface DriverState {
  readonly devices: number;
  /** confidential computing is on; the setting is of the whole system, not of one GPU */
  readonly confidential: boolean;
  readonly devtools: boolean;
}

/** @throws GPU_NOT_ATTESTED for an answer that is not understood, COMMAND_FAILED, COMMAND_NOT_FOUND */
export async function readDriverState(machine: BootMachine): Promise<DriverState> {
  const ask = async (...args: string[]) =>
    (await machine.run('nvidiaSmi', args, { timeoutMs: TIMEOUT_MS })).stdout.trim();
  const devices = await ask('--query-gpu=index', '--format=csv,noheader');
  const indexes = devices.split('\n').map((line) => line.trim());
  if (!indexes.every((line, index) => line === String(index))) throw unknown('--query-gpu=index', devices);
  return {
    devices: indexes.length,
    confidential: onOrOff(await ask('conf-compute', '-f'), 'CC status'),
    devtools: onOrOff(await ask('conf-compute', '-d'), 'DevTools Mode'),
  };
}

function onOrOff(answer: string, label: string): boolean {
  if (answer === `${label}: ON`) return true;
  if (answer === `${label}: OFF`) return false;
  throw unknown(label, answer);
}

const unknown = (what: string, value: string): DstackError =>
  new DstackError('GPU_NOT_ATTESTED', `nvidia-smi gave an unknown answer about ${what}`, {
    value: value.slice(0, 200),
  });

/** Lets applications submit work to the GPUs: the driver of a confidential guest holds it back until then. */
export async function setReady(machine: BootMachine): Promise<void> {
  await machine.run('nvidiaSmi', ['conf-compute', '-srs', '1'], { timeoutMs: TIMEOUT_MS });
}
