/**
 * Every program that anything in a VM starts, with its arguments and its environment, taken from the kernel at execve(2)
 * itself: a process that lives for a millisecond is seen too, which looking into /proc now and then would miss.
 */
import { gunzipSync } from 'node:zlib';
import type { Machine } from '../../initramfs/vm/machine.ts';

/** Strings that are kept of each list; more than any program of the image gets. */
const STRINGS = 40;
/** Where x86-64 keeps argv and envp of a system call (`struct pt_regs`): rsi and rdx, for execveat(2) rdx and r10. */
const CALLS = { execve: { argv: 104, envp: 96 }, execveat: { argv: 96, envp: 56 } } as const;

/** A bash script that begins to record. The ring buffer has room for several thousand programs. */
export const START_EXEC_TRACE = [
  'mkdir -p /run/tracing && { mountpoint -q /run/tracing || mount -t tracefs tracefs /run/tracing; }',
  'echo 16384 >/run/tracing/buffer_size_kb',
  ...Object.entries(CALLS).map(([call, { argv, envp }]) => {
    const strings = (name: string, at: number): string[] =>
      Array.from({ length: STRINGS }, (_, i) => `${name}${i}=+u0(+u${8 * i}(+${at}(%di))):ustring`);
    const probe = [`p:${call} __x64_sys_${call}`, ...strings('a', argv), ...strings('e', envp)].join(' ');
    return `echo '${probe}' >>/run/tracing/kprobe_events; echo 1 >/run/tracing/events/kprobes/${call}/enable`;
  }),
].join('\n');

/** Ends the recording and returns it: one line a program, each string in quotes. */
export async function readExecTrace(vm: Machine): Promise<string> {
  const script = [
    'cd /run/tracing; echo 0 >events/kprobes/enable',
    'grep -h overrun per_cpu/cpu*/stats >&2',
    "sed -E 's/ [ae][0-9]+=\\(fault\\)//g; s/ [ae][0-9]+=/ /g' trace | gzip -1 | base64 -w0",
    'echo >kprobe_events; echo >trace',
  ].join('\n');
  const { stdout, stderr } = await vm.sh(script, { timeoutMs: 240_000 });
  if (/overrun: *[1-9]/.test(stderr)) throw new Error(`the trace of programs was too small: ${stderr}`);
  return gunzipSync(Buffer.from(stdout, 'base64')).toString('latin1');
}
