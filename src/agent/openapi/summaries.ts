/** One sentence a method, for the OpenAPI document. The type makes sure that none is missing. */
import type { SERVICES } from '../../codec/prpc-services.ts';

/** The services of the table that the guest agent serves; others it only calls. */
export type AgentService = 'DstackGuest' | 'DstackGuestV1' | 'Tappd' | 'Worker' | 'WorkerV1' | 'GuestApi';

export const SUMMARIES: { readonly [S in AgentService]: { readonly [M in keyof (typeof SERVICES)[S]]: string } } = {
  DstackGuest: {
    GetTlsKey: 'A fresh P-256 key with a certificate chain of the app, with evidence in it on request',
    GetKey: 'The key of a path, with a signature chain up to the root of the key provider',
    GetQuote: 'A TDX quote over up to 64 bytes of report data, with the event log that explains it',
    Attest: 'The same evidence in one versioned binary form',
    EmitEvent: 'Measures an event of the app into RTMR3; names of the boot are refused',
    Info: 'Identity and measurements of the app',
    GpuInfo: 'Evidence of attested GPUs, empty without one',
    Sign: 'Signs with the signing key of the app',
    Verify: 'Verifies a signature of any key',
    Version: 'Version of the guest agent',
  },
  DstackGuestV1: {
    IssueCert: 'A fresh P-256 key with a certificate chain of the app, with evidence in it on request',
    GetKey: 'The key of a domain and an algorithm, with a signature chain up to the root of the key provider',
    Attest: 'Versioned evidence over up to 64 bytes of report data, with the evidence of GPUs of the boot on request',
    AttestGpu: 'Fresh evidence of the GPUs over a nonce of 32 bytes; 501 in an image without nvattest',
    Info: 'Identity and configuration of the app; no registers',
    Version: 'Version of the guest agent',
  },
  Tappd: {
    DeriveKey: 'The P-256 key of a path with a fresh certificate chain',
    DeriveK256Key: 'GetKey under its older name',
    TdxQuote: 'A quote over tagged and hashed report data',
    RawQuote: 'A quote over exactly 64 bytes of report data',
    Info: 'Identity and measurements of the app',
    Version: 'Version of the guest agent',
  },
  Worker: {
    Info: 'Identity of the app; measurements only if the app made them public',
    Version: 'Version of the guest agent',
    GetAttestationForAppKey: 'A quote that binds the signing key of the app',
  },
  WorkerV1: {
    Info: 'Identity of the app; its documents only if the app made them public',
    Version: 'Version of the guest agent',
    Health: 'Whether the app can serve, as of at most five seconds ago',
  },
  GuestApi: {
    Info: 'Identity of the app for the host',
    SysInfo: 'Memory, load and disks of the machine',
    NetworkInfo: 'Addresses, routes and traffic of the machine',
    ListContainers: 'The containers of the app',
    Shutdown: 'Powers the machine off; answered before it happens',
  },
};
