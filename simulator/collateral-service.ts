/** The collateral service over HTTP, with the paths, headers and forms of a PCCS (dstack simulators, collateral service). */
import * as http from 'node:http';
import type { AddressInfo } from 'node:net';
import { mockCollateral, type TcbOptions } from './mock-collateral.ts';
import type { MockPki } from './pki.ts';

export interface CollateralService {
  /** base URL, what collateral_urls.pccs gets */
  readonly url: string;
  close(): Promise<void>;
}

interface Answer {
  readonly type: string;
  readonly body: string | Uint8Array;
  readonly header?: readonly [name: string, chain: string];
}

/** New collateral is made for each answer: it is valid from one day ago to 30 days from now. */
function answer(pki: MockPki, path: string, tcb: TcbOptions): Answer | undefined {
  const collateral = mockCollateral(pki, Date.now(), tcb);
  const json = (member: string, text: string, signature: string) => `{"${member}":${text},"signature":"${signature}"}`;
  switch (path.replace(/^\/(sgx|tdx)\/certification\/v4\//, '')) {
    case 'pckcrl':
      return {
        type: 'application/pkix-crl',
        body: pki.pckCrl,
        header: ['SGX-PCK-CRL-Issuer-Chain', collateral.pck_crl_issuer_chain],
      };
    case 'rootcacrl':
      return { type: 'text/plain', body: collateral.root_ca_crl };
    case 'tcb':
      return {
        type: 'application/json',
        body: json('tcbInfo', collateral.tcb_info, collateral.tcb_info_signature),
        header: ['SGX-TCB-Info-Issuer-Chain', collateral.tcb_info_issuer_chain],
      };
    case 'qe/identity':
      return {
        type: 'application/json',
        body: json('enclaveIdentity', collateral.qe_identity, collateral.qe_identity_signature),
        header: ['SGX-Enclave-Identity-Issuer-Chain', collateral.qe_identity_issuer_chain],
      };
    default:
      return undefined;
  }
}

/** Serves the collateral of `pki`; port 0 takes a free one. */
export async function serveCollateral(
  pki: MockPki,
  port = 0,
  host = '127.0.0.1',
  tcb: TcbOptions = {},
): Promise<CollateralService> {
  const server = http.createServer((request, response) => {
    const found = request.method === 'GET' && answer(pki, new URL(request.url ?? '/', 'http://x').pathname, tcb);
    if (!found) return response.writeHead(404).end();
    const [name, chain] = found.header ?? [];
    response.writeHead(200, {
      'content-type': found.type,
      ...(name === undefined || chain === undefined ? {} : { [name]: encodeURIComponent(chain) }),
    });
    response.end(found.body);
  });
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, host, resolve));
  return {
    url: `http://${host}:${(server.address() as AddressInfo).port}`,
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}
