/** What `npm run bench -- agent` asks: every method of the agent that answers without the outside world, as the SDKs send it. */
import { request } from 'node:http';

export interface AgentCase {
  readonly name: string;
  readonly path: string;
  readonly body: string;
  /** of the number of requests that the fastest method gets */
  readonly share: number;
  /** requests a second that are wanted at least */
  readonly budget?: number;
  /** asked on the socket of the older interface, tappd.sock beside dstack.sock */
  readonly tappd?: true;
}

/** 64 bytes that never come twice: the last 8 of them are a number. */
const REPORT_DATA = `{"report_data":"${'ab'.repeat(56)}#"}`;
const DATA = '"algorithm":"secp256k1","data":"00112233445566778899aabbccddeeff"';

/** @param target dstack.sock of our agent or its port: it signs what Verify is asked about */
export async function agentCases(target: string | number): Promise<readonly AgentCase[]> {
  const { signature, public_key } = await ask(target, '/Sign', `{${DATA}}`);
  return [
    { name: 'GetKey, one path', path: '/GetKey', body: '{"path":"a/b","purpose":"c"}', share: 1, budget: 25_000 },
    { name: 'GetKey, new paths', path: '/GetKey', body: '{"path":"a/#"}', share: 0.1, budget: 2000 },
    { name: 'Version', path: '/Version', body: '{}', share: 1, budget: 30_000 },
    { name: 'Info', path: '/Info', body: '{}', share: 0.1 },
    { name: 'Sign', path: '/Sign', body: `{${DATA}}`, share: 0.1 },
    {
      name: 'Verify',
      path: '/Verify',
      body: `{${DATA},"signature":"${signature}","public_key":"${public_key}"}`,
      share: 0.1,
    },
    { name: 'GetQuote', path: '/GetQuote', body: REPORT_DATA, share: 0.1 },
    { name: 'TdxQuote', path: '/prpc/Tappd.TdxQuote?json', body: REPORT_DATA, share: 0.1, tappd: true },
    { name: 'Attest', path: '/Attest', body: REPORT_DATA, share: 0.1 },
    { name: 'GetTlsKey, local CA', path: '/GetTlsKey', body: '{"subject":"a"}', share: 0.04, budget: 300 },
    { name: 'GetTlsKey, with evidence', path: '/GetTlsKey', body: '{"subject":"a","usage_ra_tls":true}', share: 0.04 },
  ];
}

function ask(target: string | number, path: string, body: string): Promise<Record<string, string>> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json' };
    const where = typeof target === 'string' ? { socketPath: target } : { host: '127.0.0.1', port: target };
    request({ ...where, path, method: 'POST', headers, agent: false }, (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part));
      response.on('end', () => resolve(JSON.parse(Buffer.concat(parts).toString())));
    })
      .on('error', reject)
      .end(body);
  });
}
