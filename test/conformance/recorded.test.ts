/** The official clients' requests over unix sockets and TCP; inherited sockets and vsock need Bun, see recorded.bun.test.ts. */
import { expect, it } from 'vitest';
import { tcpServed, unixServed } from './guests.ts';
import { listenerSuite } from './listener-suite.ts';
import { METHODS } from './meanings.ts';
import { RECORDED } from './recorded.ts';

it('every recorded method has a meaning, and every meaning a request', () => {
  expect(new Set(RECORDED.map(({ method }) => method))).toEqual(new Set(METHODS));
});

listenerSuite('unix', unixServed);
listenerSuite('TCP', tcpServed);
