/** Strict UTF-8 of documents. */
import { DstackError } from '../errors.ts';

/** A malformed byte is an error, not a replacement character. A byte order mark is kept. @throws DOCUMENT_INVALID */
export function utf8(bytes: Uint8Array, name: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (thrown) {
    throw new DstackError('DOCUMENT_INVALID', `file ${name} is not UTF-8 text`, { path: name, cause: thrown });
  }
}
