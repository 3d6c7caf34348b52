/** Key provider none: fresh random keys in every boot. Nothing encrypted with them can be read after the next one. */
import { ephemeralKeys } from '../../keys/seed-keys.ts';
import * as ui from '../../ui.ts';
import { withLocalCa } from './local-ca.ts';
import type { KeyProvider } from './provider.ts';

export const none: KeyProvider = {
  kind: 'none',
  async obtain({ attest }) {
    ui.warn('key provider none: these keys live for one boot, and so does everything on the data disk');
    return withLocalCa(ephemeralKeys(), attest);
  },
};
