/**
 * The error table of the whole program: one class, a closed union of stable codes.
 *
 * The code is what scripts, the journal (`DSTACK_ERROR=`), RPC error texts and docs/errors.md agree on. Codes are never
 * reused or renamed. Messages are lower case without a full stop and name the field and the value, never a secret.
 */

/** What the program knows about a code, independent of one occurrence. */
export interface ErrorInfo {
  /** process exit status: 1 ordinary failure, 2 usage or bad input on the command line, 3 misconfigured (do not restart), or not checkable */
  readonly exit: 1 | 2 | 3;
  /** whether trying again later without a change can help */
  readonly retry: boolean;
  /** one line for the person who has to repair it */
  readonly hint: string;
}

const e = (exit: 1 | 2 | 3, retry: boolean, hint: string): ErrorInfo => ({ exit, retry, hint });

export const ERRORS = {
  // command line
  USAGE: e(2, false, 'see --help'),
  INPUT_INVALID: e(2, false, 'correct the named value'),
  INTERNAL: e(1, false, 'this is a defect of dstack-util: please report it with the log'),
  NATIVE_UNAVAILABLE: e(1, false, 'run the compiled binary: this call needs the operating system interface of Bun'),
  // files and programs
  FILE_NOT_FOUND: e(1, false, 'create the file or correct the path'),
  FILE_TOO_LARGE: e(1, false, 'make the file smaller: the limit guards the memory of the guest'),
  FILE_NOT_REGULAR: e(1, false, 'replace the symbolic link or device by a regular file'),
  FILE_NOT_PRIVATE: e(1, false, 'chmod 600 the file'),
  FILE_IO: e(1, true, 'check the mount, the free space and the permissions'),
  COMMAND_NOT_FOUND: e(1, false, 'install the program in the guest image'),
  COMMAND_FAILED: e(1, false, 'read the last lines of the program’s own output'),
  COMMAND_TIMEOUT: e(1, true, 'the program did not finish within its limit'),
  MOUNT_FAILED: e(1, false, 'check the device and the file system'),
  LOCK_FAILED: e(1, true, 'another process holds the lock'),
  // documents
  JSON_INVALID: e(
    1,
    false,
    'the document must be strict JSON (RFC 8259): no comments, no trailing commas, no duplicate keys',
  ),
  DOCUMENT_INVALID: e(1, false, 'correct the named field'),
  MANIFEST_UNSUPPORTED: e(
    1,
    false,
    'use string manifest_version "3" so older guests fail closed, or a newer guest image',
  ),
  REQUIREMENT_UNMET: e(1, false, 'the app refuses this platform: deploy it where its requirements hold'),
  CONFIG_INVALID: e(1, false, 'correct the configuration file'),
  HEX_INVALID: e(1, false, 'use an even number of the digits 0-9 a-f'),
  CODEC_INVALID: e(1, false, 'the encoded bytes are damaged or of another version'),
  // host share and host channel
  HOST_SHARE_MISSING: e(1, true, 'attach the disk labelled DSTACKSHR or the 9p share host-shared'),
  HOST_API_UNREACHABLE: e(1, true, 'check host_api_url and the host side service'),
  HOST_API_FAILED: e(1, true, 'read the message of the host side service'),
  // platform and measurement
  TEE_NOT_FOUND: e(
    1,
    false,
    'run on a machine with Intel TDX enabled, or boot the dev image with its simulated device',
  ),
  CONFIGFS_UNAVAILABLE: e(1, false, 'the kernel needs CONFIG_CONFIGFS_FS and CONFIG_TSM_REPORTS'),
  RTMR_INDEX_INVALID: e(1, false, 'the kernel extends RTMR 2 and 3 only'),
  RTMR_PERMISSION: e(1, false, 'run as root'),
  RTMR_EXTEND_FAILED: e(1, false, 'check the TDX driver of the kernel'),
  RTMR_READ_FAILED: e(1, false, 'check the TDX driver of the kernel'),
  RTMR_PATH_INVALID: e(1, false, 'the override must be an existing absolute directory'),
  EVENT_VERSION_MISSING: e(1, false, 'complete the system setup first'),
  EVENT_VERSION_CONFLICT: e(1, false, 'the version is fixed for one boot: restart the CVM'),
  EVENT_LOG_INVALID: e(1, false, 'the runtime event log was changed by something else: restart the CVM'),
  EVENT_LOG_DIVERGED: e(1, false, 'the register and the log no longer agree: restart the CVM'),
  EVENT_LINE_LOST: e(
    1,
    false,
    'an event was measured and its log line was never written: no evidence of this boot can be verified, restart the CVM',
  ),
  EVENT_LOG_FULL: e(1, false, 'measure fewer events: the log of one boot holds 7,000 events or 1 MiB'),
  EVENT_NAME_RESERVED: e(1, false, 'choose another event name: the boot itself uses this one'),
  CCEL_UNAVAILABLE: e(1, false, 'the firmware must provide the CCEL table, or set DSTACK_CCEL_FILE'),
  CCEL_INVALID: e(1, false, 'the boot event log of the firmware is damaged'),
  QUOTE_UNAVAILABLE: e(1, false, 'neither configfs-tsm nor a quote generation service is configured'),
  QUOTE_BUSY: e(1, true, 'another process takes a quote'),
  QUOTE_TIMEOUT: e(1, true, 'the quote generation service on the host did not answer'),
  QUOTE_EMPTY: e(1, true, 'the quote generation service answered without a quote: check it on the host'),
  QUOTE_INVALID: e(1, false, 'the quote has another layout than TDX quote v4 or v5'),
  REPORT_DATA_INVALID: e(1, false, 'report data has 64 bytes; shorter data must be padded or hashed'),
  ATTESTATION_INVALID: e(1, false, 'the attestation bytes are damaged or of another version'),
  EVIDENCE_INVALID: e(1, false, 'do not trust this guest: the first failed check says why'),
  EVIDENCE_UNCHECKED: e(3, true, 'what was demanded is not proven: provide what the check named, then verify again'),
  COLLATERAL_UNAVAILABLE: e(3, true, 'name a collateral file, a PCCS or https://api.trustedservices.intel.com'),
  COLLATERAL_INVALID: e(3, true, 'fetch the collateral again: it is damaged, outdated or for another platform'),
  TRUST_ANCHORS_INVALID: e(1, false, 'remove /run/dstack/attestation: only the simulator of a dev image may write it'),
  MR_CONFIG_MISMATCH: e(1, false, 'the host started this VM for another configuration'),
  GPU_UNSUPPORTED: e(1, false, 'this image cannot attest GPUs: detach them, or set attest_gpu to false'),
  GPU_NOT_ATTESTED: e(1, true, 'the GPUs did not prove what they are: see /run/nvidia-gpu-attestation/attestation.out'),
  GPU_REFUSED: e(1, false, 'the gpu policy of the app does not agree with the GPUs of this machine'),
  TIME_UNSYNCED: e(1, true, 'check the network and the time sources of chrony, or set secure_time to false'),
  CLOCK_BEHIND: e(1, true, 'set the clock of the host: it is before a date that is over for certain'),
  // operating system image
  OS_IMAGE_INVALID: e(
    1,
    false,
    'the files of the image folder do not belong together: take the image again from its builder',
  ),
  FIRMWARE_INVALID: e(1, false, 'name a firmware for Intel TDX (TDVF), built for direct kernel boot'),
  KERNEL_INVALID: e(1, false, 'name a Linux kernel with an EFI header (bzImage)'),
  IMAGE_MEASUREMENT_INVALID: e(
    1,
    false,
    'the measurement document is damaged, of another version, or not of this image',
  ),
  VM_SHAPE_UNSUPPORTED: e(1, false, 'the registers of a VM of this shape cannot be told: change the named value'),
  // keys
  KEY_PROVIDER_UNSUPPORTED: e(1, false, 'use a key provider that this version supports: kms, local or none'),
  TPM_NOT_FOUND: e(1, false, 'attach a TPM to the VM, or use another key provider'),
  KEY_PROVIDER_MISMATCH: e(1, false, 'the keys come from another provider than app-compose.json pins'),
  KEY_INVALID: e(1, false, 'the key material is damaged'),
  KEYS_FILE_INVALID: e(1, false, 'the key file is damaged or of another version'),
  ALGORITHM_UNSUPPORTED: e(1, false, 'use secp256k1 (alias k256) or ed25519'),
  KMS_URLS_MISSING: e(1, false, 'the host must name a KMS in kms_urls of .sys-config.json'),
  KMS_UNREACHABLE: e(1, true, 'check kms_urls and the network'),
  KMS_TIMEOUT: e(1, true, 'the KMS is overloaded or hangs: look at its log'),
  KMS_REFUSED: e(1, false, 'the KMS does not give keys to this app: read its words, then its list of allowed apps'),
  KMS_ANSWER_INVALID: e(1, false, 'what answers at this address is not a KMS, or a damaged one'),
  CERT_INVALID: e(1, false, 'the certificate is damaged or does not match its key'),
  CERT_EXPIRED: e(1, false, 'renew the certificate, or correct the clock'),
  CERT_NOT_YET_VALID: e(1, true, 'the clock of this VM or of the issuer is wrong'),
  CERT_UNTRUSTED: e(1, false, 'the certificate does not lead to the one root that is trusted here'),
  CERT_NAME_MISMATCH: e(1, false, 'the certificate is for another host than the one that was asked'),
  CERT_USAGE_WRONG: e(1, false, 'the certificate was issued for another purpose'),
  CERT_APP_MISMATCH: e(1, false, 'the certificate belongs to another app'),
  CSR_INVALID: e(1, false, 'the certificate request is damaged, or signed with another key than it asks for'),
  EVIDENCE_MISMATCH: e(1, false, 'the evidence is genuine, but it was made for another key'),
  ENV_DECRYPT_FAILED: e(1, false, 'encrypt the environment again for the public key of this app'),
  ENV_NOT_ALLOWED: e(1, false, 'add the key to allowed_envs in app-compose.json'),
  ENV_MALFORMED: e(1, false, 'correct the encrypted environment'),
  // disk
  DISK_NOT_FOUND: e(1, false, 'attach a data disk (/dev/vdb or PARTLABEL=dstack-data)'),
  DISK_NOT_BLANK: e(1, false, 'the disk holds data that is not ours: attach a blank disk, or remove the data yourself'),
  DISK_FOREIGN: e(
    1,
    false,
    'the volume was made under another key provider and is not touched: attach its own disk or a blank one',
  ),
  LUKS_HEADER_REJECTED: e(
    1,
    false,
    'the header departs from what this program writes: the disk was changed by something else',
  ),
  LUKS_KEY_WRONG: e(1, false, 'the keys of this app do not open this disk: attach the disk that belongs to this app'),
  LUKS_OPEN_FAILED: e(1, false, 'read the last lines of cryptsetup'),
  FS_CREATE_FAILED: e(1, false, 'read the last lines of the file system tool'),
  FS_CHECK_FAILED: e(1, false, 'the file system needs a repair by hand: nothing was changed beyond e2fsck -p'),
  FS_MOUNT_FAILED: e(1, false, 'read the last lines of mount or zfs'),
  SWAP_FAILED: e(1, false, 'check swap_size against the size of the data disk'),
  STORAGE_OPTION_INVALID: e(
    1,
    false,
    'storage_fs is zfs or ext4; dstack.storage_encrypted is 1 or 0; swap_size needs an encrypted disk',
  ),
  VOLUME_INVALID: e(1, false, 'check verity_volumes in app-compose.json and the attached disks'),
  // network
  GATEWAY_MISCONFIGURED: e(3, false, 'the app wants a gateway, but its keys or .sys-config.json do not name one'),
  GATEWAY_UNREACHABLE: e(1, true, 'check gateway_urls, the name service and the network'),
  GATEWAY_FAILED: e(1, true, 'read the message of the gateway'),
  FIREWALL_FAILED: e(1, false, 'the guest image needs iptables or nft, and a kernel with netfilter'),
  // deploy
  DOCKER_UNAVAILABLE: e(1, true, 'start dockerd, or install docker in the guest image'),
  RUNNER_UNSUPPORTED: e(1, false, 'use runner docker-compose, nerdctl-compose or bash'),
  COMPOSE_INVALID: e(1, false, 'correct docker_compose_file in app-compose.json'),
  COMPOSE_UP_FAILED: e(1, true, 'read docker’s own words above'),
  REGISTRY_INVALID: e(1, false, 'DSTACK_DOCKER_REGISTRY is a host such as ghcr.io or registry.example:5000'),
  REGISTRY_MIRRORED: e(
    1,
    false,
    'deploy where docker_registry of .sys-config.json is empty, or take the images from another registry than Docker Hub',
  ),
  REGISTRY_LOGIN_REFUSED: e(
    1,
    false,
    'encrypt the environment again with a DSTACK_DOCKER_USERNAME and DSTACK_DOCKER_PASSWORD that this registry accepts',
  ),
  REGISTRY_UNREACHABLE: e(1, true, 'check DSTACK_DOCKER_REGISTRY, its certificate and the network of the guest'),
  IMAGE_PULL_FAILED: e(1, true, 'check the image name, the registry and the network of the guest'),
  IMAGE_BUILD_FAILED: e(1, false, 'read the output of the build in the journal'),
  PORT_TAKEN: e(1, false, 'publish another port: something in the guest, or another service, has this one'),
  SERVICE_UNHEALTHY: e(1, true, 'read the output of the health check, then the log of the container'),
  SERVICE_EXITED: e(1, false, 'read the last lines of the container’s log'),
  DISK_FULL: e(1, false, 'remove images and volumes, or let the host enlarge the data disk: it grows at the next boot'),
  SCRIPT_FAILED: e(1, false, 'read the output of the script in the journal'),
  SCRIPT_TIMEOUT: e(1, false, 'read the output of the script in the journal; --script-limit sets the limit'),
  SCRIPT_LIMIT: e(1, false, 'at most 5 init scripts are allowed'),
  // agent
  AGENT_UNREACHABLE: e(1, true, 'start dstack-guest-agent, or set DSTACK_AGENT_ADDRESS'),
  LISTENER_FAILED: e(1, true, 'check that the address is free'),
  HTTP_REQUEST_INVALID: e(
    1,
    false,
    'correct the request: HTTP/1.1 as RFC 9112 defines it, with at most 16 KiB of header',
  ),
  RPC_METHOD_UNKNOWN: e(1, false, 'check the spelling of the method'),
  RPC_METHOD_DENIED: e(1, false, 'allow the method in agent_sockets of app-compose.json, or use the full socket'),
  RPC_REQUEST_INVALID: e(1, false, 'correct the request'),
  RPC_PAYLOAD_TOO_LARGE: e(1, false, 'a request has at most 10485760 bytes'),
  RPC_BUSY: e(1, true, 'try again in a moment, with fewer requests at the same time'),
} as const satisfies Record<string, ErrorInfo>;

/** A stable error code. */
export type ErrorCode = keyof typeof ERRORS;

/** Where an error points: shown to people and in `--json`. Never put a secret into `value`. */
export interface ErrorDetails {
  readonly cause?: unknown;
  /** file or device */
  readonly path?: string | undefined;
  /** field of a document, option of a command, header field */
  readonly field?: string | undefined;
  /** the offending value as text; long values are cut */
  readonly value?: string | number | boolean | null | undefined;
  /** replaces the hint of the table when more is known */
  readonly hint?: string | undefined;
}

const VALUE_LIMIT = 120;

/** The only error class of the program. */
export class DstackError extends Error {
  readonly code: ErrorCode;
  readonly path: string | undefined;
  readonly field: string | undefined;
  readonly value: string | undefined;
  readonly hint: string;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'DstackError';
    this.code = code;
    this.path = details.path;
    this.field = details.field;
    const text = details.value === undefined ? undefined : String(details.value);
    this.value = text !== undefined && text.length > VALUE_LIMIT ? `${text.slice(0, VALUE_LIMIT)}…` : text;
    this.hint = details.hint ?? ERRORS[code].hint;
  }

  /** exit status for a process that ends with this error; a value that a person typed as an option is wrong usage */
  get exit(): 1 | 2 | 3 {
    return this.field?.startsWith('--') ? 2 : ERRORS[this.code].exit;
  }

  /** true if trying again later without a change can help */
  get retry(): boolean {
    return ERRORS[this.code].retry;
  }

  /** shape used by `--json`, the boot timeline and RPC diagnostics */
  toJSON(): Record<string, unknown> {
    return {
      code: this.code,
      message: this.message,
      ...(this.path === undefined ? {} : { path: this.path }),
      ...(this.field === undefined ? {} : { field: this.field }),
      ...(this.value === undefined ? {} : { value: this.value }),
      hint: this.hint,
      chain: errorChain(this),
    };
  }
}

/** Messages from the outermost error to the root cause, without repetition; at most 16 links. */
export function errorCauses(error: unknown): string[] {
  const out: string[] = [];
  let current: unknown = error;
  for (let depth = 0; current !== undefined && current !== null && depth < 16; depth++) {
    const text = current instanceof Error ? current.message || current.name : String(current);
    if (out.at(-1) !== text) out.push(text);
    current = current instanceof Error ? current.cause : undefined;
  }
  return out;
}

/** The full cause chain in one line, outermost first, joined with `: ` (RPC error texts, boot.error). */
export function errorChain(error: unknown): string {
  return errorCauses(error).join(': ');
}

/** Turns anything thrown into a DstackError, keeping an existing one as it is. */
export function toDstackError(error: unknown, code: ErrorCode = 'INTERNAL'): DstackError {
  if (error instanceof DstackError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new DstackError(code, message, { cause: error instanceof Error ? error.cause : undefined });
}

/** The first DstackError in a cause chain that carries the given code, if any. */
export function findCause(error: unknown, code: ErrorCode): DstackError | undefined {
  return links(error).find((link): link is DstackError => link instanceof DstackError && link.code === code);
}

/** The errno name (`EROFS`, `ENOENT`, ...) of the first system error in a cause chain, if any. */
export function findErrno(error: unknown): string | undefined {
  const system = links(error).find(
    (link) => 'errno' in link && typeof link.errno === 'number' && 'code' in link && typeof link.code === 'string',
  );
  return (system as NodeJS.ErrnoException | undefined)?.code;
}

/** The errors of a cause chain, outermost first; at most 16. */
function links(error: unknown): Error[] {
  const out: Error[] = [];
  for (let current = error; current instanceof Error && out.length < 16; current = current.cause) out.push(current);
  return out;
}
