/**
 * The face of this room: an HTTP/1.1 server (RFC 9110, RFC 9112) for sockets that somebody else accepts. Other rooms import
 * this file only.
 */
export { DEFAULT_LIMITS, type HttpLimits } from './limits.ts';
export { methodNotAllowed, notFound, RETRY_AFTER, textResponse } from './ready-made.ts';
export { errorHeaders } from './response.ts';
export { type HttpCounts, HttpServer, type HttpServerOptions } from './server.ts';
export type { HttpHandler, HttpRequest, HttpResponse } from './types.ts';
