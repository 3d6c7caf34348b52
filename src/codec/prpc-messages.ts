/**
 * All messages of the RPC, declared once: field name, protobuf field number, type (dstack guest agent services,
 * messages). The JSON mapping, the protobuf codec, request validation and the TypeScript types come from this table.
 */

/** `u64` and `i64` travel as numbers: a value beyond 2^53-1 is refused rather than rounded. */
export type ScalarType = 'string' | 'bytes' | 'bool' | 'u32' | 'u64' | 'i64';

export interface Field {
  /** protobuf field number */
  readonly no: number;
  /** a scalar, or the name of another message */
  readonly type: ScalarType | { readonly message: string };
  readonly repeated?: true;
  /** proto3 `optional`: absent is different from the default, JSON `null` */
  readonly optional?: true;
  /** left out of JSON when empty (one historic exception) */
  readonly omitEmpty?: true;
  /** long text that is the same in answer after answer and no secret: its JSON form is kept */
  readonly lasting?: true;
}

const one = <const N extends number, const T extends Field['type']>(no: N, type: T) => ({ no, type }) as const;
const many = <const N extends number, const T extends Field['type']>(no: N, type: T) =>
  ({ no, type, repeated: true }) as const;
const maybe = <const N extends number, const T extends Field['type']>(no: N, type: T) =>
  ({ no, type, optional: true }) as const;
const lasting = <const N extends number>(no: N) => ({ no, type: 'string', lasting: true }) as const;

/** What a certificate is asked for with, in either version of the guest API. */
const CERTIFICATE_REQUEST = {
  subject: one(1, 'string'),
  alt_names: many(2, 'string'),
  usage_ra_tls: one(3, 'bool'),
  usage_server_auth: one(4, 'bool'),
  usage_client_auth: one(5, 'bool'),
  not_before: maybe(6, 'u64'),
  not_after: maybe(7, 'u64'),
  with_app_info: one(8, 'bool'),
} as const;
const ISSUED_CERTIFICATE = { key: one(1, 'string'), certificate_chain: many(2, 'string') } as const;
const BUILD = { version: one(1, 'string'), rev: one(2, 'string') } as const;

export const MESSAGES = {
  Empty: {},
  RpcError: { message: one(1, 'string') },
  // keys
  GetTlsKeyArgs: CERTIFICATE_REQUEST,
  DeriveKeyArgs: {
    path: one(1, 'string'),
    subject: one(2, 'string'),
    alt_names: many(3, 'string'),
    usage_ra_tls: one(4, 'bool'),
    usage_server_auth: one(5, 'bool'),
    usage_client_auth: one(6, 'bool'),
    random_seed: one(7, 'bool'),
  },
  GetTlsKeyResponse: ISSUED_CERTIFICATE,
  GetKeyArgs: { path: one(1, 'string'), purpose: one(2, 'string'), algorithm: one(3, 'string') },
  GetKeyResponse: { key: one(1, 'bytes'), signature_chain: many(2, 'bytes') },
  DeriveK256KeyResponse: { k256_key: one(1, 'bytes'), k256_signature_chain: many(2, 'bytes') },
  SignRequest: { algorithm: one(1, 'string'), data: one(2, 'bytes') },
  SignResponse: { signature: one(1, 'bytes'), signature_chain: many(2, 'bytes'), public_key: one(3, 'bytes') },
  VerifyRequest: {
    algorithm: one(1, 'string'),
    data: one(2, 'bytes'),
    signature: one(3, 'bytes'),
    public_key: one(4, 'bytes'),
  },
  VerifyResponse: { valid: one(1, 'bool') },
  // evidence
  TdxQuoteArgs: { report_data: one(1, 'bytes'), hash_algorithm: one(2, 'string'), prefix: one(3, 'string') },
  RawQuoteArgs: { report_data: one(1, 'bytes') },
  TdxQuoteResponse: {
    quote: one(1, 'bytes'),
    event_log: lasting(2),
    hash_algorithm: one(3, 'string'),
    prefix: one(4, 'string'),
  },
  GetQuoteResponse: {
    quote: one(1, 'bytes'),
    event_log: lasting(2),
    report_data: one(3, 'bytes'),
    vm_config: lasting(4),
    attestation: { no: 5, type: 'bytes', omitEmpty: true },
  },
  AttestResponse: { attestation: one(1, 'bytes') },
  GpuInfoResponse: { attestation: one(1, 'string') },
  GetAttestationForAppKeyRequest: { algorithm: one(1, 'string') },
  EmitEventArgs: { event: one(1, 'string'), payload: one(2, 'bytes') },
  // identity
  AppInfo: {
    app_id: one(1, 'bytes'),
    instance_id: one(2, 'bytes'),
    app_cert: lasting(3),
    tcb_info: lasting(4),
    app_name: one(5, 'string'),
    device_id: one(8, 'bytes'),
    mr_aggregated: one(9, 'bytes'),
    os_image_hash: one(10, 'bytes'),
    key_provider_info: one(12, 'string'),
    compose_hash: one(13, 'bytes'),
    vm_config: lasting(14),
    cloud_vendor: one(15, 'string'),
    cloud_product: one(16, 'string'),
  },
  WorkerVersion: BUILD,
  // guest API v1: every method has messages of its own
  IssueCertRequest: CERTIFICATE_REQUEST,
  IssueCertResponse: ISSUED_CERTIFICATE,
  GetKeyV1Request: { domain: one(1, 'string'), algorithm: one(2, 'string') },
  GetKeyV1Response: { key: one(1, 'bytes'), public_key: one(2, 'bytes'), signature_chain: many(3, 'bytes') },
  AttestV1Request: { report_data: one(1, 'bytes'), include_boottime_gpu_evidence: one(2, 'bool') },
  AttestV1Response: {
    attestation: one(1, 'bytes'),
    boottime_gpu_evidence: many(2, { message: 'GpuEvidenceBundle' }),
  },
  AttestGpuRequest: { nonce: one(1, 'bytes') },
  AttestGpuResponse: { bundles: many(1, { message: 'GpuEvidenceBundle' }) },
  GpuEvidenceBundle: { vendor: one(1, 'string'), format: one(2, 'string'), evidence: one(3, 'bytes') },
  InfoV1Request: {},
  InfoV1Response: {
    app_id: one(1, 'bytes'),
    app_name: one(2, 'string'),
    compose_hash: one(3, 'bytes'),
    app_compose: lasting(4),
    instance_id: one(5, 'bytes'),
    device_id: one(6, 'bytes'),
    os_image_hash: one(7, 'bytes'),
    mr_aggregated: one(8, 'bytes'),
    vm_config: lasting(9),
    key_provider_info: one(10, 'string'),
    cloud_vendor: one(11, 'string'),
    cloud_product: one(12, 'string'),
  },
  VersionV1Request: {},
  VersionV1Response: BUILD,
  HealthRequest: {},
  HealthResponse: {
    healthy: one(1, 'bool'),
    unhealthy: many(2, { message: 'ContainerHealth' }),
    error: one(3, 'string'),
  },
  ContainerHealth: { name: one(1, 'string'), status: one(2, 'string') },
  // the machine, as the host sees it
  GuestInfo: {
    version: one(1, 'string'),
    app_id: one(2, 'bytes'),
    instance_id: one(3, 'bytes'),
    app_cert: lasting(4),
    tcb_info: lasting(5),
    device_id: one(6, 'bytes'),
  },
  DiskInfo: {
    name: one(1, 'string'),
    mount_point: one(2, 'string'),
    total_size: one(3, 'u64'),
    free_size: one(5, 'u64'),
  },
  SystemInfo: {
    os_name: one(1, 'string'),
    os_version: one(2, 'string'),
    kernel_version: one(3, 'string'),
    cpu_model: one(4, 'string'),
    num_cpus: one(5, 'u32'),
    total_memory: one(6, 'u64'),
    available_memory: one(7, 'u64'),
    used_memory: one(8, 'u64'),
    free_memory: one(9, 'u64'),
    total_swap: one(10, 'u64'),
    used_swap: one(11, 'u64'),
    free_swap: one(12, 'u64'),
    uptime: one(13, 'u64'),
    loadavg_one: one(14, 'u32'),
    loadavg_five: one(15, 'u32'),
    loadavg_fifteen: one(16, 'u32'),
    disks: many(17, { message: 'DiskInfo' }),
  },
  IpAddress: { address: one(1, 'string'), prefix: one(2, 'u32') },
  Interface: {
    name: one(1, 'string'),
    addresses: many(2, { message: 'IpAddress' }),
    rx_bytes: one(3, 'u64'),
    tx_bytes: one(4, 'u64'),
    rx_errors: one(5, 'u64'),
    tx_errors: one(6, 'u64'),
  },
  Gateway: { address: one(1, 'string') },
  NetworkInformation: {
    dns_servers: many(1, 'string'),
    gateways: many(2, { message: 'Gateway' }),
    interfaces: many(3, { message: 'Interface' }),
    wg_info: one(4, 'string'),
  },
  Container: {
    id: one(1, 'string'),
    names: many(2, 'string'),
    image: one(3, 'string'),
    image_id: one(4, 'string'),
    created: one(6, 'i64'),
    state: one(7, 'string'),
    status: one(8, 'string'),
  },
  ListContainersResponse: { containers: many(1, { message: 'Container' }) },
  // what the guest asks of a KMS (dstack services, KMS client messages)
  GetTempCaCertResponse: { temp_ca_cert: one(1, 'string'), temp_ca_key: one(2, 'string'), ca_cert: one(3, 'string') },
  GetAppKeyRequest: { api_version: one(1, 'u32'), vm_config: one(2, 'string') },
  AppKeyResponse: {
    ca_cert: one(1, 'string'),
    disk_crypt_key: one(2, 'bytes'),
    env_crypt_key: one(3, 'bytes'),
    k256_key: one(4, 'bytes'),
    k256_signature: one(5, 'bytes'),
    tproxy_app_id: one(6, 'string'),
    gateway_app_id: one(7, 'string'),
    os_image_hash: one(8, 'bytes'),
  },
  SignCertRequest: {
    api_version: one(1, 'u32'),
    csr: one(2, 'bytes'),
    signature: one(3, 'bytes'),
    vm_config: one(4, 'string'),
  },
  SignCertResponse: { certificate_chain: many(1, 'string') },
  BootstrapInfo: { ca_pubkey: one(1, 'bytes'), k256_pubkey: one(2, 'bytes'), attestation: one(3, 'bytes') },
  GetMetaResponse: {
    ca_cert: one(1, 'string'),
    allow_any_upgrade: one(2, 'bool'),
    k256_pubkey: one(3, 'bytes'),
    bootstrap_info: one(4, { message: 'BootstrapInfo' }),
    is_dev: one(5, 'bool'),
    gateway_app_id: maybe(6, 'string'),
    kms_contract_address: maybe(7, 'string'),
    chain_id: maybe(8, 'u64'),
    app_auth_implementation: maybe(9, 'string'),
  },
  AppId: { app_id: one(1, 'bytes') },
  PublicKeyResponse: {
    public_key: one(1, 'bytes'),
    signature: one(2, 'bytes'),
    timestamp: one(3, 'u64'),
    signature_v1: one(4, 'bytes'),
  },
} as const satisfies Record<string, Record<string, Field>>;

export type MessageName = keyof typeof MESSAGES;

type ScalarValue<T> = T extends 'string'
  ? string
  : T extends 'bytes'
    ? Uint8Array
    : T extends 'bool'
      ? boolean
      : number;
type SingleValue<T> = T extends { readonly message: infer N extends MessageName } ? Message<N> : ScalarValue<T>;
type FieldValue<F extends Field> = F extends { readonly repeated: true }
  ? SingleValue<F['type']>[]
  : F extends { readonly optional: true }
    ? SingleValue<F['type']> | undefined
    : SingleValue<F['type']>;

/** The TypeScript shape of a message: every field is present; an absent `optional` field is undefined. */
export type Message<N extends MessageName> = {
  -readonly [K in keyof (typeof MESSAGES)[N]]: (typeof MESSAGES)[N][K] extends Field
    ? FieldValue<(typeof MESSAGES)[N][K]>
    : never;
};

const FIELDS = new Map(
  Object.entries(MESSAGES).map(([name, fields]) => [name, new Map<string, Field>(Object.entries(fields))]),
);

/** The fields of a message in declaration order. */
export function fieldsOf(name: MessageName): ReadonlyMap<string, Field> {
  return FIELDS.get(name) as ReadonlyMap<string, Field>;
}

/** The default of a field: "", 0, false, empty bytes, empty list, undefined. */
export function defaultOf(field: Field): unknown {
  if (field.repeated) return [];
  if (field.optional) return undefined;
  if (typeof field.type === 'object') return defaultsOf(field.type.message as MessageName);
  if (field.type === 'string') return '';
  if (field.type === 'bytes') return new Uint8Array(0);
  return field.type === 'bool' ? false : 0;
}

/** A message in which every field has its default. */
export function defaultsOf<N extends MessageName>(name: N): Message<N> {
  const entries = [...fieldsOf(name)].map(([key, field]) => [key, defaultOf(field)]);
  return Object.fromEntries(entries) as Message<N>;
}
