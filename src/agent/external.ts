/** The HTTP face on TCP 8090: RPC below /prpc, the page, readiness, and what the app made public. */
import { type HttpHandler, type HttpRequest, type HttpResponse, methodNotAllowed, textResponse } from '../http/http.ts';
import { json as jsonText } from '../ui.ts';
import { VERSION, VERSION_TEXT } from '../version.ts';
import type { Readiness } from './figures/readyz.ts';
import { Recent } from './figures/recent.ts';
import type { Page } from './page/page.ts';
import { rpcHandler } from './rpc/rpc.ts';
import { workerService } from './services/worker-service.ts';
import { workerServiceV1 } from './services/worker-service-v1.ts';
import type { AgentState } from './state.ts';

/** HTTP methods of the pages. */
const READS = ['GET', 'HEAD'];
const NO_STORE = { 'cache-control': 'no-store' };

/** readers share what costs work to write for so long: a public port must not be able to keep the app from working */
const SHARED_MS = 1000;

type Route = (request: HttpRequest) => Promise<HttpResponse>;

const json = (status: number, value: unknown): HttpResponse =>
  textResponse(status, 'application/json', `${jsonText(value)}\n`);

const withHeaders = (response: HttpResponse, headers: Record<string, string>): HttpResponse => ({
  ...response,
  headers: { ...response.headers, ...headers },
});

export function externalHandler(state: AgentState, readiness: () => Readiness): HttpHandler {
  const { observe } = state.stats;
  const v0 = rpcHandler('Worker', workerService(state), { base: ['/prpc', '/prpc/v0'], strip: 'Worker.', observe });
  const v1 = rpcHandler('WorkerV1', workerServiceV1(state), { base: '/prpc/v1', unknownMethod: 404, observe });
  const rpc: HttpHandler = (request) => (request.path.startsWith('/prpc/v1/') ? v1(request) : v0(request));

  const pages = new Recent<Page>(SHARED_MS);
  const page: Route = async (request) => {
    const { ANY_HOST, page: render, textFor } = await import('./page/page.ts');
    const written = await pages.get('', () => render(state, readiness(), { host: ANY_HOST }));
    const { policy, refresh } = written;
    return withHeaders(textResponse(200, 'text/html; charset=utf-8', textFor(written, request.headers['host'])), {
      ...NO_STORE,
      'content-security-policy': policy,
      'referrer-policy': 'no-referrer',
      ...(refresh === undefined ? {} : { refresh: String(refresh) }),
    });
  };
  const health: Route = async () => {
    const { uptimeSeconds } = readiness();
    return withHeaders(json(200, { status: 'ok', version: VERSION_TEXT, uptimeSeconds }), NO_STORE);
  };
  const shared = new Recent<HttpResponse>(SHARED_MS);
  const ready: Route = () =>
    shared.get('readyz', async () => {
      const { readinessReport } = await import('./figures/readyz.ts');
      const now = readiness();
      return withHeaders(json(now.ready ? 200 : 503, await readinessReport(state, now)), NO_STORE);
    });
  const metrics: Route = () =>
    shared.get('metrics', async () => {
      const { metricsText } = await import('./metrics/metrics.ts');
      const { contentType, text } = await metricsText(state, readiness());
      return withHeaders(textResponse(200, contentType, text), NO_STORE);
    });
  const openapi: Route = () =>
    shared.get('openapi', async () => {
      const { openapiDocument } = await import('./openapi/openapi.ts');
      return json(200, openapiDocument(VERSION));
    });
  const logs: Route = async (request) => {
    const { containerLogs } = await import('./figures/logs.ts');
    return containerLogs(request);
  };

  function route({ path }: HttpRequest): Route | undefined {
    if (path === '/') return page;
    if (path === '/healthz') return health;
    if (path === '/readyz') return ready;
    if (path === '/openapi.json') return openapi;
    if (path === '/metrics' && state.compose.publicSysinfo) return metrics;
    if (/^\/logs\/[^/]+$/.test(path) && state.compose.publicLogs) return logs;
    return undefined;
  }

  return async (request) => {
    const found = route(request);
    const readable = request.method === 'GET' || request.method === 'HEAD';
    const answer = found ? (readable ? await found(request) : methodNotAllowed(request, READS)) : await rpc(request);
    return withHeaders(answer, { 'x-app-version': VERSION_TEXT });
  };
}
