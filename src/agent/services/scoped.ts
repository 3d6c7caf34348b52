/**
 * Scoped sockets: the interfaces of dstack.sock (and of tappd.sock below /prpc) cut down to what `agent_sockets` of
 * app-compose.json allows. Key names get the prefix of the socket. Key derivation concatenates bytes and knows no
 * normalisation, so nothing that a caller sends can lead out of a prefix: `../x` is just another name below it.
 */
import type { AgentSocket } from '../../config/agent-sockets.ts';
import { DstackError } from '../../errors.ts';
import type { HttpHandler } from '../../http/http.ts';
import { type Handlers, type Mount, rpcHandler } from '../rpc/rpc.ts';
import type { AgentState } from '../state.ts';
import { guestService } from './guest-service.ts';
import { guestServiceV1 } from './guest-service-v1.ts';
import { tappdService } from './tappd-service.ts';

/** The handler of one scoped socket. Sign uses a key below the prefix too: a scoped socket never signs as the whole app. */
export function scopedHandler(socket: AgentSocket, state: AgentState, observe?: Mount['observe']): HttpHandler {
  const { keyPrefix: prefix } = socket;
  const seen = observe === undefined ? {} : { observe };
  const guest = rpcHandler('DstackGuest', scopedGuest(guestService(state, prefix), prefix), {
    base: ['/', '/v0'],
    guard: guardOf(socket, ''),
    ...seen,
  });
  const tappd = rpcHandler('Tappd', scopedTappd(tappdService(state), prefix), {
    base: '/prpc',
    strip: 'Tappd.',
    guard: guardOf(socket, 'Tappd.'),
    ...seen,
  });
  const guestV1 = rpcHandler('DstackGuestV1', guestServiceV1(state, prefix), {
    base: '/v1',
    unknownMethod: 404,
    guard: guardOf(socket, 'v1.'),
    ...seen,
  });
  return (request) => {
    if (request.path.startsWith('/v1/')) return guestV1(request);
    return request.path.startsWith('/prpc/') ? tappd(request) : guest(request);
  };
}

/** Refuses what the rule does not list. */
function guardOf({ name, allow, rule }: AgentSocket, kind: '' | 'Tappd.' | 'v1.'): (method: string) => void {
  const allowed = new Set(allow);
  return (method) => {
    if (allowed.has(kind + method)) return;
    const message = `socket ${name} does not allow ${kind}${method}: ${rule}.allow lists ${allow.join(', ')}`;
    throw new DstackError('RPC_METHOD_DENIED', message, { field: `${rule}.allow`, value: `${kind}${method}` });
  };
}

/** The purpose is signed by the key of the app: unprefixed, a socket could have it vouch for its key as any other's. */
function scopedGuest(service: Handlers<'DstackGuest'>, prefix: string): Handlers<'DstackGuest'> {
  const { GetKey } = service;
  if (prefix === '' || GetKey === undefined) return service;
  return {
    ...service,
    GetKey: (request) => GetKey({ ...request, path: prefix + request.path, purpose: prefix + request.purpose }),
  };
}

function scopedTappd(service: Handlers<'Tappd'>, prefix: string): Handlers<'Tappd'> {
  const { DeriveKey, DeriveK256Key } = service;
  if (prefix === '' || DeriveKey === undefined || DeriveK256Key === undefined) return service;
  return {
    ...service,
    DeriveKey: (request) => DeriveKey({ ...request, path: prefix + request.path }),
    DeriveK256Key: (request) =>
      DeriveK256Key({ ...request, path: prefix + request.path, purpose: prefix + request.purpose }),
  };
}
