/** HTTP requests to a forwarded port. */
import { retry } from './wait.ts';

export interface HttpAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  json<T = Record<string, unknown>>(): T;
}

/** GET, or POST with a body. */
export async function ask(url: string, options: { body?: string; timeoutMs?: number } = {}): Promise<HttpAnswer> {
  const response = await fetch(url, {
    signal: AbortSignal.timeout(options.timeoutMs ?? 30_000),
    ...(options.body === undefined ? {} : { method: 'POST', body: options.body }),
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, text, json: () => JSON.parse(text) };
}

/** Repeats a GET until the status is 200: a forwarded port accepts connections before the guest listens. */
export function askUntilReady(
  url: string,
  options: { timeoutMs: number; abandon: () => string | undefined },
): Promise<HttpAnswer> {
  const attempt = async () => {
    // long enough for a busy guest: a request given up is work that the guest does in vain
    const answer = await ask(url, { timeoutMs: 60_000 });
    return answer.status === 200 ? answer : undefined;
  };
  return retry(`GET ${url}`, attempt, { ...options, pauseMs: 300 });
}
