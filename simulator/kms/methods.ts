/** The methods of a KMS (dstack services, KMS client messages), for one peer: what it may have depends on its certificate. */
import { X509Certificate } from 'node:crypto';
import type { Handlers } from '../../src/agent/rpc/rpc.ts';
import { toHex } from '../../src/codec/hex.ts';
import { DstackError } from '../../src/errors.ts';
import { compressedPublicKey } from '../../src/keys/secp256k1.ts';
import { privateKeyPem } from '../../src/keys/tls-key.ts';
import type { AppInfo } from '../../src/tdx/app-identity.ts';
import { envPublicKey, issueKeys } from './derive.ts';
import { certificateOf, identifyPeer } from './evidence.ts';
import { authorise } from './policy.ts';
import type { KmsRoots } from './roots.ts';
import type { KmsService } from './service.ts';
import { signRequest } from './sign-request.ts';

const APP_KEY_VERSION = 1;
const SIGN_CERT_VERSION = 2;

const refuse = (why: string): DstackError => new DstackError('RPC_REQUEST_INVALID', why);

/** @param peer certificate of the client (DER), if it showed one */
export function kmsMethods(service: KmsService, peer: Uint8Array | undefined): Handlers<'KMS'> {
  const { roots, policy, gatewayAppId, temporaryCa = true } = service;
  const certified = () => clientCertificate(temporaryCa ? roots.tempCa : undefined, peer);
  const k256Pubkey = () => compressedPublicKey(roots.k256);
  return {
    GetMeta: async () => ({
      ca_cert: roots.ca.certificate,
      allow_any_upgrade: policy.any === true,
      k256_pubkey: k256Pubkey(),
      bootstrap_info: { ca_pubkey: roots.ca.key.spkiDer, k256_pubkey: k256Pubkey(), attestation: new Uint8Array() },
      is_dev: true,
      gateway_app_id: gatewayAppId === '' ? undefined : gatewayAppId,
      kms_contract_address: undefined,
      chain_id: undefined,
      app_auth_implementation: 'dstack-sim list',
    }),

    ...(temporaryCa && {
      GetTempCaCert: async () => ({
        temp_ca_cert: roots.tempCa.certificate,
        temp_ca_key: privateKeyPem(roots.tempCa.key),
        ca_cert: roots.ca.certificate,
      }),
    }),

    GetAppKey: async ({ api_version, vm_config }) => {
      if (api_version > APP_KEY_VERSION) throw refuse(`unsupported API version: ${api_version}`);
      const info = await identifyPeer(certified(), service, vm_config);
      authorise(policy, info);
      const keys = issueKeys(roots, info.appId, info.instanceId);
      service.onIssued?.(info);
      return {
        ca_cert: roots.ca.certificate,
        disk_crypt_key: keys.diskCryptKey,
        env_crypt_key: keys.envCryptKey,
        k256_key: keys.k256Key,
        k256_signature: keys.k256Signature,
        tproxy_app_id: gatewayAppId,
        gateway_app_id: gatewayAppId,
        os_image_hash: info.osImageHash,
      };
    },

    SignCert: async ({ api_version, csr, signature, vm_config }) => {
      if (api_version > SIGN_CERT_VERSION) throw refuse(`unsupported API version: ${api_version}`);
      certified();
      return {
        certificate_chain: await signRequest(service, { version: api_version, csr, signature, vmConfig: vm_config }),
      };
    },

    GetAppEnvEncryptPubKey: async ({ app_id }) => {
      if (app_id.length !== 20) throw refuse(`invalid app id length: expected 20 bytes, got ${app_id.length}`);
      const timestamp = Math.floor(Date.now() / 1000);
      const { publicKey, signature, signatureV1 } = envPublicKey(roots, app_id, timestamp);
      return { public_key: publicKey, signature, timestamp, signature_v1: signatureV1 };
    },
  };
}

/** The certificate of the client, which must be valid now, and signed by the temporary CA if there is one. */
function clientCertificate(tempCa: KmsRoots['tempCa'] | undefined, peer: Uint8Array | undefined): Uint8Array {
  if (peer === undefined) throw refuse('no attestation provided: the client showed no certificate');
  const certificate = certificateOf(peer);
  if (tempCa === undefined) {
    // checkIssued would want a self-signed certificate to be an authority
    if (!certificate.verify(certificate.publicKey)) throw refuse('the client certificate is not signed by its own key');
  } else {
    const issuer = new X509Certificate(tempCa.certificate);
    if (!certificate.checkIssued(issuer) || !certificate.verify(issuer.publicKey)) {
      throw refuse('the certificate of the client is not signed by the temporary CA of this KMS');
    }
  }
  const now = Date.now();
  if (now < Date.parse(certificate.validFrom) || now > Date.parse(certificate.validTo)) {
    throw refuse('the certificate of the client is not valid now');
  }
  return peer;
}

/** For logs: who got something. */
export const describeApp = ({ appId, instanceId }: AppInfo): string =>
  `app ${toHex(appId)}, instance ${toHex(instanceId) || 'none'}`;
