/**
 * The development KMS beside a VM, with the collateral service that lets the guest check its evidence. Both run in this
 * process and listen on free ports of 127.0.0.1; the guest reaches them under fixed addresses.
 */
import { serveCollateral } from '../../simulator/collateral-service.ts';
import type { Faults } from '../../simulator/kms/faults.ts';
import { knownImage } from '../../simulator/kms/known-image.ts';
import type { Policy } from '../../simulator/kms/policy.ts';
import { freshRoots, type KmsRoots, openRoots } from '../../simulator/kms/roots.ts';
import { Kms } from '../../simulator/kms/server.ts';
import { DEVELOPMENT_SEED } from '../../simulator/mock-keys.ts';
import { mockPki } from '../../simulator/pki.ts';
import { fromHex } from '../../src/codec/hex.ts';
import type { AppInfo } from '../../src/tdx/app-identity.ts';
import type { GuestService } from './qemu.ts';

const KMS_ADDRESS = '10.0.2.101';
const COLLATERAL_ADDRESS = '10.0.2.102';

export interface VmKmsOptions {
  readonly policy: Policy;
  /** folder with the root keys; without it they are new */
  readonly state?: string;
  readonly faults?: Faults;
  /** folder of the only OS image whose guests get keys */
  readonly verifyImage?: string | undefined;
  /** app id (hex) of the gateway that the guests may trust */
  readonly gatewayAppId?: string;
  readonly onIssued?: (info: AppInfo) => void;
}

export interface VmKms {
  readonly roots: KmsRoots;
  readonly kms: Kms;
  /** for the options of the same names of a VM */
  readonly services: readonly GuestService[];
  readonly sysConfig: Readonly<Record<string, unknown>>;
  close(): Promise<void>;
}

/** Starts both. */
export async function startVmKms({ state, verifyImage, ...options }: VmKmsOptions): Promise<VmKms> {
  const pki = mockPki(fromHex(DEVELOPMENT_SEED));
  const roots = state === undefined ? await freshRoots() : await openRoots(state);
  const images = verifyImage === undefined ? undefined : [await knownImage(verifyImage)];
  const kms = await Kms.start(
    { ...options, images, roots, pki, gatewayAppId: options.gatewayAppId ?? '', domain: KMS_ADDRESS },
    { host: '127.0.0.1', port: 0 },
  );
  const collateral = await serveCollateral(pki);
  return {
    roots,
    kms,
    services: [
      { address: KMS_ADDRESS, port: 443, host: kms.port },
      { address: COLLATERAL_ADDRESS, port: 80, host: Number(new URL(collateral.url).port) },
    ],
    sysConfig: { kms_urls: [`https://${KMS_ADDRESS}`], collateral_urls: { pccs: `http://${COLLATERAL_ADDRESS}` } },
    close: async () => {
      await Promise.all([kms.close(), collateral.close()]);
    },
  };
}
