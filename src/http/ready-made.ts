/** Responses that more than one service gives. */
import type { DstackError } from '../errors.ts';
import type { HttpRequest, HttpResponse } from './types.ts';

export function textResponse(status: number, contentType: string, text: string): HttpResponse {
  return { status, headers: { 'content-type': contentType }, body: new TextEncoder().encode(text) };
}

/** Header of every answer to a request that came while we were busy: when to try again, seconds. */
export const RETRY_AFTER = Object.freeze({ 'retry-after': '1' });

/** For a request that no service may see now. */
export async function tooBusy(_: HttpRequest, why: DstackError): Promise<HttpResponse> {
  const response = textResponse(503, 'text/plain', `${why.message}\n`);
  return { ...response, headers: { ...response.headers, ...RETRY_AFTER } };
}

/** A route that exists, but not for this method (RFC 9110, section 15.5.6). @param allow the methods that it has */
export function methodNotAllowed(request: HttpRequest, allow: readonly string[]): HttpResponse {
  const methods = allow.join(', ');
  const message = `${request.method} is not allowed here: use ${methods}`;
  const response = textResponse(405, 'application/json', JSON.stringify({ error: message }, null, 2));
  return { ...response, headers: { ...response.headers, allow: methods } };
}

/** A route that does not exist: JSON for who asks for it, else a small page (the form of the reference's web framework). */
export function notFound(request: HttpRequest): HttpResponse {
  const description = 'The requested resource could not be found.';
  if (/\bapplication\/json\b/.test(request.headers['accept'] ?? '')) {
    const body = { error: { code: 404, reason: 'Not Found', description } };
    return textResponse(404, 'application/json', JSON.stringify(body, null, 2));
  }
  const page = `<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>404 Not Found</title></head><body><h1>404: Not Found</h1><p>${description}</p></body></html>\n`;
  return textResponse(404, 'text/html; charset=utf-8', page);
}
