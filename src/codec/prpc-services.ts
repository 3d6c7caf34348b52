/** The services of the guest agent, and the KMS that it asks: method -> request and response message (dstack services). */
import type { MessageName } from './prpc-messages.ts';

export interface MethodShape {
  readonly request: MessageName;
  readonly response: MessageName;
}

const method = <Q extends MessageName, R extends MessageName>(request: Q, response: R) => ({ request, response });

export const SERVICES = {
  /** for the app inside the VM, dstack.sock */
  DstackGuest: {
    GetTlsKey: method('GetTlsKeyArgs', 'GetTlsKeyResponse'),
    GetKey: method('GetKeyArgs', 'GetKeyResponse'),
    GetQuote: method('RawQuoteArgs', 'GetQuoteResponse'),
    Attest: method('RawQuoteArgs', 'AttestResponse'),
    EmitEvent: method('EmitEventArgs', 'Empty'),
    Info: method('Empty', 'AppInfo'),
    GpuInfo: method('Empty', 'GpuInfoResponse'),
    Sign: method('SignRequest', 'SignResponse'),
    Verify: method('VerifyRequest', 'VerifyResponse'),
    Version: method('Empty', 'WorkerVersion'),
  },
  /** guest API v1 for the app, dstack.sock below /v1 */
  DstackGuestV1: {
    IssueCert: method('IssueCertRequest', 'IssueCertResponse'),
    GetKey: method('GetKeyV1Request', 'GetKeyV1Response'),
    Attest: method('AttestV1Request', 'AttestV1Response'),
    AttestGpu: method('AttestGpuRequest', 'AttestGpuResponse'),
    Info: method('InfoV1Request', 'InfoV1Response'),
    Version: method('VersionV1Request', 'VersionV1Response'),
  },
  /** guest API v1 for everybody, TCP 8090 below /prpc/v1 */
  WorkerV1: {
    Info: method('InfoV1Request', 'InfoV1Response'),
    Version: method('VersionV1Request', 'VersionV1Response'),
    Health: method('HealthRequest', 'HealthResponse'),
  },
  /** the older interface for the app, tappd.sock */
  Tappd: {
    DeriveKey: method('DeriveKeyArgs', 'GetTlsKeyResponse'),
    DeriveK256Key: method('GetKeyArgs', 'DeriveK256KeyResponse'),
    TdxQuote: method('TdxQuoteArgs', 'TdxQuoteResponse'),
    RawQuote: method('RawQuoteArgs', 'TdxQuoteResponse'),
    Info: method('Empty', 'AppInfo'),
    Version: method('Empty', 'WorkerVersion'),
  },
  /** for everybody, TCP 8090 */
  Worker: {
    Info: method('Empty', 'AppInfo'),
    Version: method('Empty', 'WorkerVersion'),
    GetAttestationForAppKey: method('GetAttestationForAppKeyRequest', 'GetQuoteResponse'),
  },
  /** for the host, vsock 8000 */
  GuestApi: {
    Info: method('Empty', 'GuestInfo'),
    SysInfo: method('Empty', 'SystemInfo'),
    NetworkInfo: method('Empty', 'NetworkInformation'),
    ListContainers: method('Empty', 'ListContainersResponse'),
    Shutdown: method('Empty', 'Empty'),
  },
  /** not ours: the service that gives apps their keys */
  KMS: {
    GetMeta: method('Empty', 'GetMetaResponse'),
    GetTempCaCert: method('Empty', 'GetTempCaCertResponse'),
    GetAppKey: method('GetAppKeyRequest', 'AppKeyResponse'),
    SignCert: method('SignCertRequest', 'SignCertResponse'),
    GetAppEnvEncryptPubKey: method('AppId', 'PublicKeyResponse'),
  },
} as const satisfies Record<string, Record<string, MethodShape>>;

export type ServiceName = keyof typeof SERVICES;
