/** What one request and its response look like to the services: bytes in, bytes (or a stream) out. No sockets here. */

export interface HttpRequest {
  readonly method: string;
  /** percent-encoded path as it came, without the query */
  readonly path: string;
  /** raw query string without the question mark */
  readonly query: string;
  /** lower-case names; a list field that came in several lines is joined with ", ", see fields.ts */
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** who asks, for the log: `uid 0 pid 17`, or the address */
  readonly peer?: string;
  /** aborted when the client goes away, or ends its side while it is sent a stream; made only when somebody asks for it */
  readonly signal?: AbortSignal;
  /** the whole body. @throws RPC_PAYLOAD_TOO_LARGE beyond the limit of the transport, RPC_BUSY when there is no memory for it */
  body(): Uint8Array;
}

export interface HttpResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** bytes, or text of ASCII characters only, are sent with Content-Length; an async sequence is sent chunked */
  readonly body: Uint8Array | string | AsyncIterable<Uint8Array>;
}

/** Answers one request. A rejected promise becomes status 500. */
export type HttpHandler = (request: HttpRequest) => Promise<HttpResponse>;
