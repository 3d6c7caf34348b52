/** Answers the agent's questions about containers by asking docker: what is not one of them gets status 403. */
import type { IncomingMessage } from 'node:http';
import { bodyText, dockerMessage, dockerRequest } from '../../deploy/deploy.ts';
import { DstackError, errorChain } from '../../errors.ts';
import { type HttpHandler, type HttpRequest, type HttpResponse, textResponse } from '../../http/http.ts';
import * as ui from '../../ui.ts';
import { reduce } from './answers.ts';
import { type DockerCall, dockerPath, recognise } from './calls.ts';

export interface DockerViewOptions {
  /** docker's own socket */
  readonly dockerSocket: string;
  /** called when docker cannot be reached */
  readonly onUnreachable?: () => void;
}

/** The form in which docker itself refuses. */
const refusal = (status: number, message: string): HttpResponse =>
  textResponse(status, 'application/json', JSON.stringify({ message }));

export function dockerView({ dockerSocket, onUnreachable }: DockerViewOptions): HttpHandler {
  return async (request) => {
    const call = recognise(request.method, request.path, request.query);
    if (call === undefined) {
      ui.warn(`refused: ${ui.printable(`${request.method} ${request.path}`.slice(0, 200))}`);
      return refusal(403, 'this socket shows containers, nothing else');
    }
    let response: IncomingMessage;
    try {
      response = await dockerRequest('GET', dockerPath(call), dockerSocket, request.signal);
    } catch (thrown) {
      onUnreachable?.();
      return refusal(503, errorChain(thrown));
    }
    return answer(call, response, request);
  };
}

async function answer(call: DockerCall, response: IncomingMessage, request: HttpRequest): Promise<HttpResponse> {
  const status = response.statusCode ?? 502;
  try {
    if (status !== 200) {
      return refusal(status >= 400 && status < 600 ? status : 502, dockerMessage(await bodyText(response)));
    }
    if (call.kind === 'logs') {
      const type = String(response.headers['content-type'] ?? 'application/octet-stream');
      return { status, headers: { 'content-type': type }, body: passOn(response, request) };
    }
    return textResponse(200, 'application/json', JSON.stringify(reduce(call.kind, parse(await bodyText(response)))));
  } catch (thrown) {
    response.destroy();
    return refusal(502, errorChain(thrown));
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // no cause: it could quote a piece of what stays behind
    throw new DstackError('DOCKER_UNAVAILABLE', 'docker’s answer is not JSON');
  }
}

/** The frames of a log as they come; a reader who leaves ends docker's side too. */
async function* passOn(response: IncomingMessage, { signal }: HttpRequest): AsyncGenerator<Uint8Array> {
  const close = () => void response.destroy();
  signal?.addEventListener('abort', close, { once: true });
  try {
    for await (const chunk of response) yield chunk as Uint8Array;
  } catch (thrown) {
    if (!signal?.aborted) throw thrown;
  } finally {
    close();
  }
}
