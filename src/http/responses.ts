/** Answers that more than one service gives. */
import type { HttpRequest, HttpResponse } from './types.ts';

export function textResponse(status: number, contentType: string, text: string): HttpResponse {
  return { status, headers: { 'content-type': contentType }, body: new TextEncoder().encode(text) };
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
