/** Whether a vsock test can run here at all. */
import { native, VMADDR_CID_ANY, VMADDR_CID_LOCAL } from '../../src/sys/native.ts';

/** True if this machine reaches its own vsock port; false also under Node, which has no such sockets. */
export async function hasVsockLoopback(port: number): Promise<boolean> {
  if (!('Bun' in globalThis)) return false;
  const { vsockListen, vsockConnect, close } = await native();
  try {
    const listening = vsockListen(VMADDR_CID_ANY, port);
    try {
      close(await vsockConnect(VMADDR_CID_LOCAL, port, 500));
      return true;
    } finally {
      close(listening);
    }
  } catch {
    return false; // the kernel has no vsock, or no loopback transport for it
  }
}
