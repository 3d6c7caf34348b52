/**
 * The gateway: ingress from outside through a VPN. This version cannot register with one; it says so wherever the gateway
 * is asked for, and does nothing where it is not.
 */
import { parseAppCompose } from '../config/app-compose.ts';
import { HOST_SHARED } from '../config/paths.ts';
import { DstackError } from '../errors.ts';
import { readLimited } from '../sys/files.ts';

const COMPOSE_LIMIT = 50 * 1024 * 1024;

/** The error for an app that wants a gateway. Its exit status 3 tells the service manager not to try again. */
export const gatewayUnsupported = (): DstackError =>
  new DstackError('GATEWAY_UNSUPPORTED', 'gateway registration is not supported by this version', {
    path: HOST_SHARED.appCompose,
    field: 'gateway_enabled',
    value: true,
  });

/**
 * Whether the app in this work folder asks for a gateway.
 * @throws FILE_NOT_FOUND, FILE_NOT_REGULAR, JSON_INVALID, DOCUMENT_INVALID
 */
export async function gatewayWanted(workDir: string): Promise<boolean> {
  // not the link <workDir>/app-compose.json: links are not followed
  const path = `${workDir}/.host-shared/${HOST_SHARED.appCompose}`;
  return parseAppCompose(await readLimited(path, COMPOSE_LIMIT), path).gatewayEnabled;
}
