/** The HTTP face on TCP 8090: RPC below /prpc, the page, readiness, and what the app made public. */
import { VERSION_TEXT } from '../version.ts';
import { type HttpHandler, type HttpRequest, type HttpResponse, notFound, textResponse } from './http.ts';
import type { Readiness } from './readiness.ts';
import { rpcHandler } from './rpc.ts';
import type { AgentState } from './state.ts';
import { workerService } from './worker-service.ts';

const NO_STORE = { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' };
/** the page has its own style and nothing else: no script, no foreign content, not inside another page */
const PAGE_POLICY =
  "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

type Route = (request: HttpRequest) => Promise<HttpResponse>;

export function externalHandler(state: AgentState, readiness: () => Readiness): HttpHandler {
  const rpc = rpcHandler('Worker', workerService(state), { base: '/prpc', strip: 'Worker.' });

  const page: Route = async () => {
    const { dashboard } = await import('./dashboard.ts');
    const response = textResponse(200, 'text/html; charset=utf-8', await dashboard(state, readiness()));
    return {
      ...response,
      headers: {
        ...response.headers,
        ...NO_STORE,
        'content-security-policy': PAGE_POLICY,
        'referrer-policy': 'no-referrer',
      },
    };
  };
  const ready: Route = async () => {
    const report = readiness();
    const response = textResponse(report.ready ? 200 : 503, 'application/json', `${JSON.stringify(report, null, 2)}\n`);
    return { ...response, headers: { ...response.headers, ...NO_STORE } };
  };
  const metrics: Route = async () => {
    const { metricsText } = await import('./metrics.ts');
    return textResponse(200, 'text/plain; charset=utf-8', await metricsText(state));
  };
  const logs: Route = async (request) => {
    const { containerLogs } = await import('./logs.ts');
    return containerLogs(request);
  };

  function route({ path }: HttpRequest): Route | undefined {
    if (path === '/') return page;
    if (path === '/readyz') return ready;
    if (path === '/metrics' && state.compose.publicSysinfo) return metrics;
    if (/^\/logs\/[^/]+$/.test(path) && state.compose.publicLogs) return logs;
    return undefined;
  }

  return async (request) => {
    const found = route(request);
    const readable = request.method === 'GET' || request.method === 'HEAD';
    const answer = found ? (readable ? await found(request) : notFound(request)) : await rpc(request);
    return { ...answer, headers: { ...answer.headers, 'x-app-version': VERSION_TEXT } };
  };
}
