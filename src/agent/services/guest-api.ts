/** Service GuestApi: what the host may ask over vsock (dstack guest agent services). The host is not trusted with more. */
import { listContainers } from '../../deploy/deploy.ts';
import { DstackError, errorChain } from '../../errors.ts';
import { endMachine } from '../../sys/service-manager.ts';
import * as ui from '../../ui.ts';
import { VERSION } from '../../version.ts';
import { networkInformation } from '../figures/network-info.ts';
import { systemInformation } from '../figures/system-info.ts';
import type { Handlers } from '../rpc/rpc.ts';
import type { AgentState } from '../state.ts';
import { appInfo } from './app-report.ts';

export interface GuestApiOptions {
  /** tells the host something, best effort */
  readonly notify: (event: string, payload: string) => Promise<void>;
  /** powers the machine off; tests replace it */
  readonly powerOff?: () => Promise<void>;
}

export function guestApi(state: AgentState, options: GuestApiOptions): Handlers<'GuestApi'> {
  const powerOff = options.powerOff ?? (() => endMachine('poweroff'));
  return {
    async Info() {
      const { app_id, instance_id, app_cert, tcb_info, device_id } = await appInfo(state, 'public');
      return { version: VERSION, app_id, instance_id, app_cert, tcb_info, device_id };
    },

    SysInfo: async () => systemInformation(state.dataDisks),

    NetworkInfo: async () => networkInformation(),

    async ListContainers() {
      const containers = await listContainers();
      return {
        containers: containers.map(({ Id, Names, Image, ImageID, Created, State, Status }) => ({
          id: Id,
          names: [...Names],
          image: Image,
          image_id: ImageID,
          created: Created,
          state: State,
          status: Status,
        })),
      };
    },

    async Shutdown() {
      if (state.backend.kind === 'canned') {
        throw new DstackError('RPC_REQUEST_INVALID', 'a simulator does not power this machine off');
      }
      // answered at once: the host waits for the machine to go, not for this call
      void (async () => {
        try {
          await options.notify('shutdown.progress', 'powering off');
          await powerOff();
        } catch (thrown) {
          ui.error(`power-off failed: ${errorChain(thrown)}`);
        }
      })();
      return {};
    },
  };
}
