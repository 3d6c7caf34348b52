import { DstackError } from '../errors.ts';

/** Status of a response to bytes that are not a request. */
export type SyntaxStatus = 400 | 417 | 431 | 501 | 505;

/**
 * Bytes that are not a request: refused before any service sees them. Neither its text nor its field, a name of our own
 * tables, ever holds anything of the request.
 */
export class HttpSyntaxError extends DstackError {
  /** status of the response */
  readonly status: SyntaxStatus;
  constructor(status: SyntaxStatus, field: string, message: string) {
    super('HTTP_REQUEST_INVALID', message, { field });
    this.status = status;
  }
}
