/** The host API: what the guest tells the VMM that runs it (services, host API client). */
import type { PlatformName } from '../tdx/platform.ts';
import { CALL_TIMEOUT_MS, callJson } from './prpc-client.ts';

/** The VMM ignores a longer payload. */
export const MAX_PAYLOAD_BYTES = 4096;

/** Clouds have no host API of ours: notifications are skipped there and count as done. */
const WITHOUT_HOST_API: readonly PlatformName[] = ['gcp', 'nitro-enclave', 'aws-ec2'];

export interface NotifyOptions {
  readonly timeoutMs?: number;
  /** where this guest runs; default unknown, which is treated like dstack's own VMM */
  readonly platform?: PlatformName;
  readonly signal?: AbortSignal;
}

/**
 * Sends one event to the host.
 * @param url `host_api_url` of .sys-config.json; undefined or empty = nothing to do
 * @returns true when the host took the event, false when there is no host to tell
 * @throws HOST_API_UNREACHABLE, HOST_API_FAILED, CONFIG_INVALID
 */
export async function notifyHost(
  url: string | undefined,
  event: string,
  payload: string,
  options: NotifyOptions = {},
): Promise<boolean> {
  if (!url || WITHOUT_HOST_API.includes(options.platform ?? 'unknown')) return false;
  await callJson(
    url,
    'Notify',
    { event, payload },
    {
      timeoutMs: options.timeoutMs ?? CALL_TIMEOUT_MS,
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    },
  );
  return true;
}

/** Cuts a payload to what the VMM accepts, at a character boundary, and says so with an ellipsis. */
export function fitPayload(text: string): string {
  const bytes = new TextEncoder().encode(text);
  if (bytes.length <= MAX_PAYLOAD_BYTES) return text;
  const kept = new TextDecoder().decode(bytes.subarray(0, MAX_PAYLOAD_BYTES - 4)).replace(/\ufffd$/, '');
  return `${kept}…`;
}
