/** Ways to change a recorded request. Each makes of it the bytes that a client would send. */
import type { Recorded } from './recorded.ts';

export const text = (head: readonly string[], body: string): Buffer =>
  Buffer.from(`${head.join('\r\n')}\r\n\r\n${body}`, 'latin1');
const is = (line: string, name: string) => line.toLowerCase().startsWith(`${name}:`);
const without = (head: readonly string[], ...names: string[]) =>
  head.filter((line) => !names.some((name) => is(line, name)));

/** The recorded header with more lines at its end, the same body. */
export const plus =
  (...lines: string[]) =>
  ({ head, body }: Recorded) =>
    text([...head, ...lines], body);

/** The recorded header with other values for the length: what comes behind is the recorded body. */
export const lengths =
  (of: (length: number) => readonly string[]) =>
  ({ head, body }: Recorded) =>
    text([...without(head, 'content-length'), ...of(body.length)], body);

/** The recorded request with its content type in these lines. */
export const types =
  (...lines: string[]) =>
  ({ head, body }: Recorded) =>
    text([...without(head, 'content-type'), ...lines], body);

/** Every line behind the request line, changed. */
export const fields =
  (change: (name: string, value: string) => string) =>
  ({ head: [line = '', ...rest], body }: Recorded) =>
    text([line, ...rest.map((field) => change(...(field.split(/: (.*)/, 2) as [string, string])))], body);

/** The request line, changed. */
export const line =
  (change: (line: string) => string) =>
  ({ head: [first = '', ...rest], body }: Recorded) =>
    text([change(first), ...rest], body);

/** Another body, announced as long as it is. */
export const body =
  (change: (body: string) => string) =>
  ({ head, body: recorded }: Recorded) => {
    const changed = change(recorded);
    return text([...without(head, 'content-length'), `Content-Length: ${changed.length}`], changed);
  };

/** The body in chunks of seven bytes. */
export const chunked =
  (field: string, change: (chunks: string) => string = (chunks) => chunks) =>
  ({ head, body: recorded }: Recorded) => {
    const chunks = (recorded.match(/.{1,7}/gs) ?? []).map((part) => `${part.length.toString(16)}\r\n${part}\r\n`);
    return text([...without(head, 'content-length'), field], change(`${chunks.join('')}0\r\n\r\n`));
  };
