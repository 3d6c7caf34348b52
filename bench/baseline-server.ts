/** The least that a server in this runtime can do: a constant answer to everything that ends with an empty line. */
import { createServer } from 'node:net';

const body = JSON.stringify({ key: 'ab'.repeat(32), signature_chain: ['cd'.repeat(65), ''] });
const answer = `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
createServer((socket) => {
  socket.on('data', () => socket.write(answer, 'latin1'));
  socket.on('error', () => socket.destroy());
}).listen(process.argv[2]);
