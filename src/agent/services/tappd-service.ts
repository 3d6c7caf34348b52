/** Service Tappd: the older interface for the app, on tappd.sock (dstack guest agent services). */
import { reportData } from '../../keys/report-data.ts';
import type { Handlers } from '../rpc/rpc.ts';
import type { AgentState } from '../state.ts';
import { appInfo } from './app-report.ts';
import { version } from './guest-service.ts';
import { certifiedKey } from './issue-tls-key.ts';

const DEFAULT_TAG = 'app-data';

export function tappdService(state: AgentState): Handlers<'Tappd'> {
  const { keys, keyCache, backend } = state;

  async function tdxQuote(content: Uint8Array, algorithm: string, prefix: string) {
    const tag = prefix || DEFAULT_TAG;
    const bound = reportData(algorithm, tag, content);
    const { quote, eventLog } = await backend.quote(bound);
    return {
      quote,
      event_log: eventLog,
      hash_algorithm: algorithm || 'sha512',
      prefix: algorithm === 'raw' ? '' : tag,
    };
  }

  return {
    async DeriveKey(request) {
      const { tlsKeyOfPath } = await import('../../keys/tls-key.ts');
      return certifiedKey(state, tlsKeyOfPath(keys.k256Key, request.path, request.random_seed), {
        subject: request.subject,
        altNames: request.alt_names,
        serverAuth: request.usage_server_auth,
        clientAuth: request.usage_client_auth,
        raTls: request.usage_ra_tls,
        appInfo: false,
      });
    },

    async DeriveK256Key({ path, purpose, algorithm }) {
      const { key, signatureChain } = await keyCache.get(path, purpose, algorithm);
      return { k256_key: key, k256_signature_chain: [...signatureChain] };
    },

    TdxQuote: async ({ report_data, hash_algorithm, prefix }) => tdxQuote(report_data, hash_algorithm, prefix),
    RawQuote: async ({ report_data }) => tdxQuote(report_data, 'raw', ''),
    Info: async () => appInfo(state, 'app'),
    Version: version,
  };
}
