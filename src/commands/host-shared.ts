/** `host-shared`: the files of the host, mounted read-only. `setup` does the same for itself. */
import type { Command } from 'commander';
import { loadBootMachine, loadHostShare } from '../boot/boot.ts';

export default function define(command: Command): void {
  command.helpCommand(false);
  const sub = (name: string, summary: string) =>
    command.command(name).description(summary).requiredOption('--mount-point <dir>', 'where the share is mounted');
  sub('mount', 'mount the disk labelled DSTACKSHR, or the 9p share host-shared, read-only').action(
    async ({ mountPoint }: { mountPoint: string }) => {
      const { mountHostShare } = await loadHostShare();
      const { realBootMachine } = await loadBootMachine();
      await mountHostShare(mountPoint, realBootMachine);
    },
  );
  sub('unmount', 'unmount the host share; not an error when it is not mounted').action(
    async ({ mountPoint }: { mountPoint: string }) => {
      const { unmountHostShare } = await loadHostShare();
      const { realBootMachine } = await loadBootMachine();
      await unmountHostShare(mountPoint, realBootMachine);
    },
  );
}
