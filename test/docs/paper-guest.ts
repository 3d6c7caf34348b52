/**
 * A guest on paper that answers like a real one: the agent's own interface on a unix socket, over a fake of the kernel's TDX
 * interfaces, with the registers that a VM of an image would have, and quotes that lead to the simulator's root.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { dirname, join } from 'node:path';
import { bootEvents, instanceOf } from '../../simulator/canned-evidence.ts';
import { DEVELOPMENT_SEED } from '../../simulator/mock-keys.ts';
import { mockQuote } from '../../simulator/mock-quote.ts';
import { mockPki } from '../../simulator/pki.ts';
import { claimOf } from '../../simulator/system-claim.ts';
import { tdxBackend } from '../../src/agent/evidence/tdx-backend.ts';
import { rpcHandler, rpcMalformed, rpcRefusal } from '../../src/agent/rpc/rpc.ts';
import { guestService } from '../../src/agent/services/guest-service.ts';
import { loadState } from '../../src/agent/state.ts';
import { fromHex } from '../../src/codec/hex.ts';
import { loadAgentConfig } from '../../src/config/agent-config.ts';
import { parseAppCompose } from '../../src/config/app-compose.ts';
import { HttpServer } from '../../src/http/http.ts';
import { setNative } from '../../src/sys/native.ts';
import { parseCcel } from '../../src/tdx/ccel.ts';
import { type EventLogOptions, emitEvent, setEventVersion } from '../../src/tdx/event-log.ts';
import { replay } from '../../src/tdx/replay.ts';
import { realTdxMachine } from '../../src/tdx/tdx-machine.ts';
import { makeGuest } from '../agent/canned.ts';
import { fakeNative } from '../tdx/fake-native.ts';
import { FakeTsm } from '../tdx/fake-tsm.ts';
import { partsOf, shapeOf, vmConfigOf } from '../verify/system-fixture.ts';
import { PLAIN } from './plain-image.ts';

export interface PaperGuest {
  readonly socket: string;
  stop(): Promise<void>;
}

/**
 * Serves below `dir`, with the app of this document and the image of the tests.
 * @param composeText the app-compose.json, byte for byte
 */
export async function startPaperGuest(dir: string, composeText: string): Promise<PaperGuest> {
  const seed = fromHex(DEVELOPMENT_SEED, { field: 'seed', prefix: true, length: 32 });
  const pki = mockPki(seed);
  const config = vmConfigOf(PLAIN);
  const claim = claimOf(partsOf(PLAIN), shapeOf(config));
  for (const [path, content] of [
    ['dev/tdx_guest', ''],
    ['sys/firmware/acpi/tables/data/CCEL', claim.ccel],
  ] as const) {
    mkdirSync(dirname(join(dir, path)), { recursive: true });
    writeFileSync(join(dir, path), content);
  }
  const kernel = new FakeTsm({
    reportDir: `${dir}/sys/kernel/config/tsm/report`,
    measurementsDir: `${dir}/sys/devices/virtual/misc/tdx_guest/measurements`,
    quote: (reportData, { registers }) => mockQuote(pki, { mrtd: claim.mrtd, rtmrs: [...registers], reportData }),
  });
  const firmware = parseCcel(claim.ccel);
  for (const register of [0, 1, 2] as const) kernel.registers[register] = replay(firmware, register);
  setNative(fakeNative());
  const machine: EventLogOptions = { ...realTdxMachine, root: dir, files: kernel, dir: join(dir, 'log') };
  await setEventVersion(1, machine);
  const compose = parseAppCompose(new Uint8Array(Buffer.from(composeText)), 'app-compose.json');
  for (const { event, payload } of bootEvents(compose, 1, instanceOf(compose, seed)))
    await emitEvent(event, payload, machine);

  // keys and documents of a canned guest; what it says of its machine comes from the one above
  const canned = await makeGuest();
  const loaded = await loadState(await loadAgentConfig({ file: canned.configFile, root: canned.dir, cwd: canned.dir }));
  const state = { ...loaded, backend: tdxBackend(JSON.stringify(config), machine) };
  const http = new HttpServer({
    handler: rpcHandler('DstackGuest', guestService(state), { base: ['/', '/v0'] }),
    refuse: rpcRefusal,
    onMalformed: rpcMalformed,
  });
  const socket = join(dir, 'dstack.sock');
  const server = await listen(socket, (peer) => http.accept(peer));
  return {
    socket,
    async stop() {
      server.close();
      await http.close(0);
      canned.remove();
      setNative(undefined);
      rmSync(socket, { force: true });
    },
  };
}

function listen(path: string, accept: (socket: Socket) => void): Promise<Server> {
  const server = createServer({ allowHalfOpen: true }, accept);
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => resolve(server));
  });
}
