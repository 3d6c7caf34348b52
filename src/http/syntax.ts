/** Bytes that are not a request: refused before any service sees them. Its text never holds anything of the request. */
export class HttpSyntaxError extends Error {
  /** status of the response */
  readonly status: 400 | 417 | 431 | 501;
  constructor(status: HttpSyntaxError['status'], message: string) {
    super(message);
    this.name = 'HttpSyntaxError';
    this.status = status;
  }
}
