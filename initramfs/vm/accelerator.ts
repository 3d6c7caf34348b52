/** Whether hardware virtualisation really works here, tried rather than believed. */
import { spawn } from 'node:child_process';
import { access, constants, readFile } from 'node:fs/promises';
import { toolEnv } from '../lib/run.ts';
import { toolsArgv } from '../lib/tools.ts';

export type Accelerator = 'kvm' | 'tcg';

const TRIAL_MS = 6000;
let known: Promise<Accelerator> | undefined;

/**
 * KVM if a kernel runs under it, else software emulation. A usable-looking /dev/kvm proves little: nested and
 * emulated variants create a virtual CPU and then fail at its first unusual instruction. So the kernel of the image is
 * started without a root file system and must get as far as printing its version.
 */
export function chooseAccelerator(kernel: string): Promise<Accelerator> {
  known ??= probe(kernel);
  return known;
}

async function probe(kernel: string): Promise<Accelerator> {
  const flags = await readFile('/proc/cpuinfo', 'utf8').catch(() => '');
  if (!/^flags\s*:.*\b(vmx|svm)\b/m.test(flags)) return 'tcg';
  const open = await access('/dev/kvm', constants.R_OK | constants.W_OK).then(
    () => true,
    () => false,
  );
  return open && (await kernelStarts(kernel)) ? 'kvm' : 'tcg';
}

/** The argv of the trial. */
export function trialArgv(kernel: string): string[] {
  return [
    ...['setpriv', '--pdeathsig', 'KILL', '--', 'qemu-system-x86_64', '-nodefaults', '-no-user-config', '-no-reboot'],
    ...['-display', 'none', '-monitor', 'none', '-serial', 'stdio', '-machine', 'q35', '-accel', 'kvm', '-cpu', 'host'],
    ...['-smp', '2', '-m', '512', '-kernel', kernel, '-append', 'console=ttyS0 earlyprintk=serial panic=-1'],
  ];
}

function kernelStarts(kernel: string): Promise<boolean> {
  const [file = '', ...args] = toolsArgv(trialArgv(kernel));
  return new Promise((resolve) => {
    const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'ignore'], env: toolEnv() });
    const limit = setTimeout(() => child.kill('SIGKILL'), TRIAL_MS);
    let text = '';
    child.stdout.on('data', (chunk: Uint8Array) => {
      text += Buffer.from(chunk).toString('latin1');
      // a kernel that mounts nothing panics: by then scheduler, timers and both CPUs have worked
      if (/Kernel panic|Unable to mount root/.test(text)) child.kill('SIGKILL');
    });
    child.once('error', () => resolve(false));
    child.once('close', () => {
      clearTimeout(limit);
      resolve(/Kernel panic|Unable to mount root/.test(text));
    });
  });
}
