/** What a development KMS is made of. */
import type { AppInfo } from '../../src/tdx/app-identity.ts';
import type { MockPki } from '../pki.ts';
import type { KnownImage } from './known-image.ts';
import type { Policy } from './policy.ts';
import type { KmsRoots } from './roots.ts';

export interface KmsService {
  readonly roots: KmsRoots;
  readonly policy: Policy;
  readonly pki: MockPki;
  /** OS images of which a guest must run one, default any */
  readonly images?: readonly KnownImage[] | undefined;
  /** app id of the gateway that apps may trust, `any`, or empty */
  readonly gatewayAppId: string;
  /** false = there is no temporary CA: the evidence in a certificate is judged, whoever signed it */
  readonly temporaryCa?: boolean;
  /** told of each app that was given keys */
  readonly onIssued?: (info: AppInfo) => void;
}
