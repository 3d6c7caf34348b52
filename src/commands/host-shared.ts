import type { Command } from 'commander';
import { DstackError } from '../errors.ts';

/** `host-shared mount|unmount --mount-point DIR`. */
export default function define(command: Command): void {
  command
    .argument('<action>', 'mount or unmount')
    .requiredOption('--mount-point <dir>', 'where to mount the host share (read-only)')
    .action(async (action: string, options: { mountPoint: string }) => {
      const { mountHostShare, unmountHostShare } = await import('../boot/host-share.ts');
      if (action === 'mount') return mountHostShare(options.mountPoint);
      if (action === 'unmount') return unmountHostShare(options.mountPoint);
      throw new DstackError('USAGE', `unknown action ${JSON.stringify(action)}: use mount or unmount`, {
        field: 'action',
        value: action,
      });
    });
}
