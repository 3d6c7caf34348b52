/** Serves the page, and nothing else. */
import { createServer, type Server } from 'node:http';
import { FRAMING, type VerifyPage } from './build.ts';

/** A server that does not listen yet. */
export function pageServer({ html, policy }: VerifyPage): Server {
  const headers = {
    'content-security-policy': `${policy}; ${FRAMING}`,
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
    'cache-control': 'no-store',
  };
  return createServer((request, response) => {
    const { method = '', url = '' } = request;
    const answer = (status: number, type: string, text: string): void => {
      response.writeHead(status, { ...headers, 'content-type': `${type}; charset=utf-8` });
      response.end(method === 'HEAD' ? undefined : text);
    };
    if (method !== 'GET' && method !== 'HEAD') {
      response.setHeader('allow', 'GET, HEAD');
      return answer(405, 'text/plain', 'The page can only be read.\n');
    }
    if (url.split('?')[0] !== '/') return answer(404, 'text/plain', 'There is only the page at /.\n');
    answer(200, 'text/html', html);
  });
}
