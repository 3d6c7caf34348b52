/** Fetching collateral over HTTP, for `fetchCollateral` of the options. Everything it answers is checked when it is used. */
import { DstackError } from '../../src/errors.ts';
import { fetchCollateral } from '../../src/verify/pcs-client.ts';
import { anchorOfFile, intelAnchor } from '../../src/verify/trust-anchor.ts';
import { type Content, contentBytes } from './bytes.ts';
import type { PlatformName } from './evidence.ts';

/**
 * A function that asks a PCS or PCCS (API v4) by the global `fetch`. Browsers allow it only for services that allow browsers
 * (CORS).
 * @param url its address, with or without the API path
 */
export const collateralFrom =
  (url: string, options: { readonly rootCa?: Content; readonly timeoutMs?: number } = {}) =>
  async (platform: PlatformName | undefined): Promise<object> => {
    if (platform === undefined) {
      throw new DstackError('COLLATERAL_UNAVAILABLE', 'the quote does not say which platform it is from');
    }
    const { rootCa, timeoutMs } = options;
    const { certificate } = rootCa === undefined ? intelAnchor() : anchorOfFile(contentBytes(rootCa));
    return fetchCollateral(url, platform, certificate, { timeoutMs });
  };
