/**
 * What a client gets that begins to speak HTTP/2 without having asked (RFC 9113, section 3.3): its first request is reset
 * with HTTP_1_1_REQUIRED, and so is the connection a moment later. Every HTTP/2 library has a word for that, curl asks again
 * in HTTP/1.1 by itself, and an answer in HTTP/1.1 would be a broken frame to all of them.
 */

/** The first line of the client's connection preface: a request line of HTTP/1.1 that no server can know. */
export const PREFACE_LINE = 'PRI * HTTP/2.0';
/** what follows its empty line */
const PREFACE_END = 'SM\r\n\r\n';

const HEADERS = 1;
const RST_STREAM = 3;
const SETTINGS = 4;
const GOAWAY = 7;
const HTTP_1_1_REQUIRED = 0x0d;
const FRAME_HEADER = 9;
/** with its header; the default limit (RFC 9113, section 4.2), which we never raise */
const LONGEST_FRAME = FRAME_HEADER + 16_384;
const REASON = 'only HTTP/1.1 is served here';

/** A frame without flags (RFC 9113, section 4.1). */
function frame(type: number, stream: number, payload: Uint8Array): Buffer {
  const header = Buffer.alloc(FRAME_HEADER);
  header.writeUIntBE(payload.length, 0, 3);
  header[3] = type;
  header.writeUInt32BE(stream, 5);
  return Buffer.concat([header, payload]);
}

function word(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** What a server says first (section 3.4): no settings. */
export const GREETING: Uint8Array = frame(SETTINGS, 0, new Uint8Array(0));

/** Reads the client's frames as far as its first request. */
export class Http2Refusal {
  /** bytes that are not read yet */
  #input: Buffer = Buffer.alloc(0);
  #inPreface = true;
  /** of the request that was reset; 0 = none */
  #stream = 0;
  #done = false;

  /** @returns what the client is to be sent once its request is here; `undefined`: it is still to come */
  push(data: Uint8Array): Uint8Array | undefined {
    if (this.#done) return undefined;
    this.#input = Buffer.concat([this.#input, data]);
    if (this.#inPreface) {
      const start = this.#input.toString('latin1', 0, PREFACE_END.length);
      if (!PREFACE_END.startsWith(start)) return this.#end(0);
      if (start !== PREFACE_END) return undefined;
      this.#input = this.#input.subarray(PREFACE_END.length);
      this.#inPreface = false;
    }
    while (this.#input.length >= FRAME_HEADER) {
      const length = FRAME_HEADER + this.#input.readUIntBE(0, 3);
      if (this.#input[3] === HEADERS) return this.#end(this.#input.readUInt32BE(5) & 0x7fffffff);
      if (length > LONGEST_FRAME) return this.#end(0);
      if (this.#input.length < length) return undefined;
      this.#input = this.#input.subarray(length);
    }
    return undefined;
  }

  /** The last word to a client that is still there. */
  goodbye(): Uint8Array {
    return frame(GOAWAY, 0, Buffer.concat([word(this.#stream), word(HTTP_1_1_REQUIRED), Buffer.from(REASON)]));
  }

  #end(stream: number): Uint8Array {
    this.#done = true;
    this.#stream = stream;
    this.#input = Buffer.alloc(0);
    return stream === 0 ? new Uint8Array(0) : frame(RST_STREAM, stream, word(HTTP_1_1_REQUIRED));
  }
}
