/** Addresses of listeners as the agent configuration spells them: `unix:<path>`, `vsock:<cid>` or an IP address. */
import { resolve } from 'node:path';
import { DstackError } from '../../errors.ts';

export type Address =
  | {
      readonly kind: 'unix';
      readonly path: string;
      readonly reuse: boolean;
      /** permissions of the socket file; without it those of the umask */
      readonly mode?: number;
    }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'vsock'; readonly cid: number; readonly port: number };

export interface AddressSettings {
  readonly address: string;
  readonly port?: number | undefined;
  readonly reuse?: boolean | undefined;
}

/**
 * @param name profile of the configuration, for messages
 * @throws CONFIG_INVALID
 */
export function parseAddress(name: string, settings: AddressSettings): Address {
  const { address } = settings;
  if (address.startsWith('unix:')) {
    const path = address.slice('unix:'.length);
    if (path === '') throw invalid(name, address, 'the path is empty');
    return { kind: 'unix', path: resolve(path), reuse: settings.reuse ?? false };
  }
  const port = settings.port ?? 0;
  if (address.startsWith('vsock:')) {
    const cid = Number(address.slice('vsock:'.length));
    if (!Number.isInteger(cid) || cid < 0 || cid > 0xffff_ffff)
      throw invalid(name, address, 'the cid is not a 32-bit number');
    return { kind: 'vsock', cid, port: checkedPort(name, port, 0xffff_ffff) };
  }
  if (!/^[0-9a-fA-F.:]+$/.test(address))
    throw invalid(name, address, 'it is neither unix:<path>, vsock:<cid> nor an IP address');
  return { kind: 'tcp', host: address, port: checkedPort(name, port, 0xffff) };
}

function checkedPort(name: string, port: number, max: number): number {
  if (Number.isInteger(port) && port >= 0 && port <= max) return port;
  throw new DstackError('CONFIG_INVALID', `port ${port} of listener ${name} is out of range`, {
    field: `${name}.port`,
    value: port,
  });
}

function invalid(name: string, address: string, why: string): DstackError {
  return new DstackError(
    'CONFIG_INVALID',
    `address ${JSON.stringify(address)} of listener ${name} is not usable: ${why}`,
    {
      field: `${name}.address`,
      value: address,
    },
  );
}

/** The address as people write it. */
export function showAddress(address: Address): string {
  if (address.kind === 'unix') return `unix:${address.path}`;
  if (address.kind === 'vsock') return `vsock:${address.cid === 0xffff_ffff ? 'any' : address.cid}:${address.port}`;
  return address.host.includes(':') ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}
