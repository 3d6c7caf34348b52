/** What `prepare` works with: it runs before anything is known of the app or the host. */
import type { BootMachine } from '../boot-machine.ts';
import type { BootServices } from '../boot-services.ts';
import type { SequenceContext } from '../phase.ts';

export interface PrepareContext extends SequenceContext {
  readonly machine: BootMachine;
  readonly services: BootServices;
  /** the data device, once chosen */
  device?: string;
}
