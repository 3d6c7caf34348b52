/**
 * Asking the service manager to end or restart the machine. By signal: a call of systemctl would be ended by the very
 * shutdown it asks for, before it has heard the answer, and would look like a failure.
 */
import { effect } from './effects.ts';

const SIGRTMIN = 34;
/** signals that start a target (systemd(1), Signals); the job that they enqueue cannot be replaced by another */
const SIGNALS = { halt: SIGRTMIN + 3, poweroff: SIGRTMIN + 4, reboot: SIGRTMIN + 5 };

/** Starts halt.target, poweroff.target or reboot.target. Returns at once. Throws when PID 1 may not be signalled (EPERM). */
export async function endMachine(action: keyof typeof SIGNALS): Promise<void> {
  await effect(`ask the service manager for ${action}`, undefined, async () => {
    process.kill(1, SIGNALS[action]);
  });
}
