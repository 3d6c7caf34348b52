/** What `prepare` works with: it runs before anything is known of the app or the host. */
import type { Os } from '../boot-machine.ts';
import type { Rooms } from '../boot-services.ts';
import type { SequenceContext } from '../phase.ts';

export interface PrepareContext extends SequenceContext {
  readonly os: Os;
  readonly rooms: Rooms;
  /** the data device, once chosen */
  device?: string;
}
