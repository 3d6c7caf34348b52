/** A second reader of certificates, for tests: what it refuses, ours must refuse. */
import { X509Certificate } from 'node:crypto';
import { toPem } from '../../src/x509/pem.ts';

/** True if node:crypto reads it. Through PEM: given DER it looks for PEM inside first, and evidence holds a PEM chain. */
export function nodeTakes(der: Uint8Array): boolean {
  try {
    return new X509Certificate(toPem('CERTIFICATE', der)).raw.length > 0;
  } catch {
    return false;
  }
}
