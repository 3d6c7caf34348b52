/**
 * AF_VSOCK between this host and a guest, without a kernel module on the host: the program vhost-device-vsock (of the
 * rust-vmm project) is the device, QEMU's vhost-user-vsock-pci hands it the guest's queues, and every port is a unix
 * socket. A connection of the guest to CID 2, port N, arrives at `<path>_N`; one to the guest begins with a line
 * `CONNECT N` on `<path>` (README of vhost-device-vsock, which follows Firecracker's "hybrid vsock").
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { accessSync, constants, existsSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { delimiter, join } from 'node:path';
import { retry } from './wait.ts';

const PROGRAM = 'vhost-device-vsock';
const GUEST_CID = 3;
/** the port of the host API as the guest knows it */
export const HOST_API_PORT = 4040;
export const VSOCK_HOST_API_URL = `vsock://2:${HOST_API_PORT}/api`;
const ANSWER_MS = 60_000;
const LINE_LIMIT = 128;

/** The program, if this host has it. */
export function vsockDevice(path = process.env['PATH'] ?? ''): string | undefined {
  return path
    .split(delimiter)
    .map((dir) => join(dir, PROGRAM))
    .find(executable);
}

function executable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** One device for one VM. */
export class VsockDevice {
  readonly #child: ChildProcess;
  readonly #path: string;

  private constructor(child: ChildProcess, path: string) {
    this.#child = child;
    this.#path = path;
  }

  /** `control` is QEMU's socket, `path` the stem of the others. Dies with this process. */
  static async start(program: string, control: string, path: string): Promise<VsockDevice> {
    const argv = ['--pdeathsig', 'KILL', '--', program, '--guest-cid', String(GUEST_CID), '--socket', control];
    const child = spawn('setpriv', [...argv, '--uds-path', path], { stdio: ['ignore', 'ignore', 'inherit'] });
    const gone = () => (child.exitCode === null ? undefined : `${PROGRAM} has ended`);
    const ready = async () => existsSync(control) || undefined;
    await retry(PROGRAM, ready, { timeoutMs: 10_000, abandon: gone });
    return new VsockDevice(child, path);
  }

  /** Asks the guest API of the guest as its VMM does. @returns status and body */
  async ask(port: number, path: string, body?: string): Promise<{ status: number; text: string }> {
    const socket = await dial(this.#path, port);
    const headers = { Host: 'guest', Connection: 'close' };
    const options = { path, headers, method: body === undefined ? 'GET' : 'POST', createConnection: () => socket };
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      const asked = request(options, resolve);
      asked.setTimeout(ANSWER_MS, () => asked.destroy(new Error('no answer over vsock')));
      asked.once('error', reject);
      asked.end(body);
    });
    let text = '';
    for await (const chunk of answer.setEncoding('utf8')) text += chunk;
    return { status: answer.statusCode ?? 0, text };
  }

  close(): void {
    this.#child.kill();
  }
}

/** A connection to a port of the guest. */
function dial(path: string, port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(path, () => socket.write(`CONNECT ${port}\n`));
    let line = '';
    const fail = (why: string) => {
      socket.destroy();
      reject(new Error(`vsock port ${port} of the guest: ${why}`));
    };
    const read = () => {
      // one byte at a time: what follows the line belongs to the next reader
      for (let byte = socket.read(1); byte !== null; byte = socket.read(1)) {
        line += byte.toString('latin1');
        if (line.length > LINE_LIMIT) return fail('no line as an answer');
        if (!line.endsWith('\n')) continue;
        socket.off('readable', read);
        socket.removeAllListeners('close').removeAllListeners('error');
        if (!line.startsWith('OK ')) return fail(line.trim());
        return resolve(socket);
      }
    };
    socket.on('readable', read);
    socket.once('close', () => fail('closed'));
    socket.once('error', ({ message }) => fail(message));
  });
}
