/**
 * The face of this room. Notifications and plain calls are loaded with it; the clients of the KMS and the gateway, which
 * bring certificates and evidence with them, are loaded when they are called.
 */

export type { GatewayRecord } from './gateway-record.ts';
export { fitPayload, notifyHost } from './host-api.ts';
export { afterCall, type KmsContact, type KmsObserver } from './kms-contact.ts';
export type { PeerPlatform } from './peer-evidence.ts';
export { callJson } from './prpc-client.ts';
export { connectVsock } from './transport.ts';

export const loadBootClock = () => import('./boot-clock.ts');
export const loadCertify = () => import('./certify.ts');
export const loadGateway = () => import('./gateway.ts');
export const loadGatewayRecord = () => import('./gateway-record.ts');
export const loadGatewayChecker = () => import('./gateway-checker.ts');
export const loadKmsClient = () => import('./kms-client.ts');
export const loadSealingKey = () => import('./sealing-key.ts');
export const loadWireGuard = () => import('./wireguard.ts');
