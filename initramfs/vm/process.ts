/** The QEMU process of one VM: started from the tools tree, ended with its parent whatever way that ends. */
import { type ChildProcess, spawn } from 'node:child_process';
import { toolEnv } from '../lib/run.ts';
import { toolsArgv } from '../lib/tools.ts';
import type { ConsoleLog } from './console.ts';

export interface Ended {
  readonly exit: number | null;
  readonly signal: NodeJS.Signals | null;
}

export class QemuProcess {
  readonly exited: Promise<Ended>;
  readonly #child: ChildProcess;
  #ended: Ended | undefined;

  private constructor(child: ChildProcess, console: ConsoleLog) {
    this.#child = child;
    child.stdout?.on('data', (chunk: Uint8Array) => console.append(chunk));
    child.stderr?.on('data', (chunk: Uint8Array) => console.append(chunk, 'qemu'));
    this.exited = new Promise((resolve) => {
      const end = (ended: Ended) => {
        this.#ended ??= ended;
        resolve(this.#ended);
      };
      child.once('error', (error) => {
        console.append(Buffer.from(`${error.message}\n`), 'qemu');
        end({ exit: -1, signal: null });
      });
      child.once('close', (exit, signal) => end({ exit, signal }));
    });
  }

  /**
   * Starts QEMU in a process group of its own (Ctrl-C in the terminal is for the runner, which powers the guest off)
   * and with a death signal: when the runner dies, the kernel ends QEMU.
   */
  static start(argv: readonly string[], console: ConsoleLog, binds: string[]): QemuProcess {
    const [file = '', ...args] = toolsArgv(['setpriv', '--pdeathsig', 'KILL', '--', ...argv], { binds });
    const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'], detached: true, env: toolEnv() });
    return new QemuProcess(child, console);
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** how it ended, or undefined while it runs */
  get ended(): Ended | undefined {
    return this.#ended;
  }

  /** Ends QEMU and the helpers it has started. */
  kill(): void {
    if (this.#ended || this.#child.pid === undefined) return;
    try {
      process.kill(-this.#child.pid, 'SIGKILL');
    } catch {
      this.#child.kill('SIGKILL');
    }
  }
}
