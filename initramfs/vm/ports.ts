/** TCP ports on 127.0.0.1 for the guest's services. */
import { createServer } from 'node:net';
import type { Forward } from './qemu.ts';

/** Reads `guest:host[,guest:host]`. */
export function parsePorts(text: string): Forward[] {
  return text.split(',').map((pair) => {
    const [guest, host, rest] = pair.split(':').map(Number);
    const valid = (port: number | undefined): port is number =>
      port !== undefined && Number.isInteger(port) && port >= 1 && port <= 65535;
    if (!valid(guest) || !valid(host) || rest !== undefined) {
      throw new Error(`--ports: '${pair}' is not GUEST:HOST with ports from 1 to 65535`);
    }
    return { guest, host };
  });
}

/** Whether a port can be bound on 127.0.0.1 right now. */
export function isFree(port: number): Promise<boolean> {
  return bind(port).then(
    () => true,
    () => false,
  );
}

/** A port of 127.0.0.1 that the kernel chooses: hardly ever the same one for two that ask at the same time. */
export const freePort = (): Promise<number> => bind(0);

/** Binds and releases a port; 0 lets the kernel choose. */
function bind(port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen({ host: '127.0.0.1', port, exclusive: true }, () => {
      const address = server.address();
      const chosen = typeof address === 'object' && address !== null ? address.port : port;
      server.close(() => resolve(chosen));
    });
  });
}

/** Forwards for the wanted guest ports: the same number on the host if it is free, else one the kernel chooses. */
export async function chooseForwards(
  guestPorts: readonly number[],
  fixed: readonly Forward[] = [],
): Promise<Forward[]> {
  const chosen: Forward[] = [];
  for (const forward of fixed) {
    if (!(await isFree(forward.host))) throw new Error(`port ${forward.host} of 127.0.0.1 is taken`);
    chosen.push(forward);
  }
  for (const guest of guestPorts) {
    if (chosen.some((forward) => forward.guest === guest)) continue;
    const wanted = guest >= 1024 && !chosen.some(({ host }) => host === guest) && (await isFree(guest));
    chosen.push({ guest, host: wanted ? guest : await freePort() });
  }
  return chosen;
}
