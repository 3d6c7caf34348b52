/** What an HTTP connection may cost us: bytes, time and number. */

export interface HttpLimits {
  /** bytes of a request body */
  readonly body: number;
  /**
   * bytes of all request bodies at the same time, those whose handlers still run included: many large requests must not
   * use up the memory of the guest. One more is answered RPC_BUSY
   */
  readonly memory: number;
  /** bytes of a request line with its header fields */
  readonly header: number;
  /** milliseconds without a byte before or between requests; 0 = one request a connection */
  readonly idle: number;
  /** milliseconds in which a body that was refused is still read, so that the client gets to see the response */
  readonly linger: number;
  /** milliseconds from the first byte allowed to the last byte of one request, and for one client to take a response */
  readonly request: number;
  /** connections at the same time; one more closes the one that has been silent for longest */
  readonly connections: number;
  /**
   * handlers that run at the same time, whether or not their clients are still there; one more is answered RPC_BUSY.
   * Fewer than connections, so that there is always one that can be closed for a new client
   */
  readonly handlers: number;
}

export const DEFAULT_LIMITS: HttpLimits = {
  body: 10 * 1024 * 1024,
  memory: 64 * 1024 * 1024,
  header: 16 * 1024,
  idle: 10_000,
  linger: 1000,
  request: 30_000,
  connections: 512,
  handlers: 256,
};
