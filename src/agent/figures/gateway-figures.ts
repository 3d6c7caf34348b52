/** The way in: how registrations with gateways ended, and the handshakes of the tunnel. */
import type { AppCompose } from '../../config/app-compose.ts';
import { PATHS } from '../../config/paths.ts';
import { errorChain } from '../../errors.ts';
import { type GatewayRecord, loadGatewayRecord, loadWireGuard } from '../../net/net.ts';
import { run } from '../../sys/exec.ts';
import * as ui from '../../ui.ts';
import { Recent } from './recent.ts';

export interface GatewayReading {
  /** false: nothing was registered in this boot; undefined: the record cannot be read */
  readonly registered: boolean | undefined;
  /** undefined before the first attempt, or when it cannot be read */
  readonly record: GatewayRecord | undefined;
  /** public key of a gateway -> Unix seconds of its latest handshake, 0 before the first one; undefined: `wg` failed */
  readonly handshakes: ReadonlyMap<string, number> | undefined;
}

export interface GatewaySources {
  readonly recordFile: string;
  readonly handshakes: () => Promise<ReadonlyMap<string, number>>;
}

const REAL: GatewaySources = {
  recordFile: PATHS.gatewayRecord,
  handshakes: async () => (await loadWireGuard()).readHandshakes(run),
};

/** Readings are shared for five seconds: each takes a program, and everybody may ask. */
export class GatewayFigures {
  readonly wanted: boolean;
  readonly #sources: GatewaySources;
  readonly #recent = new Recent<GatewayReading>();

  constructor({ gatewayEnabled }: Pick<AppCompose, 'gatewayEnabled'>, sources: GatewaySources = REAL) {
    this.wanted = gatewayEnabled;
    this.#sources = sources;
  }

  /** @returns undefined for an app that wants no gateway */
  async read(): Promise<GatewayReading | undefined> {
    return this.wanted ? this.#recent.get('', () => this.#read()) : undefined;
  }

  async #read(): Promise<GatewayReading> {
    const { readGatewayRecord } = await loadGatewayRecord();
    const [record, handshakes] = await Promise.all([
      attempted('record of registrations', readGatewayRecord(this.#sources.recordFile)),
      attempted('state of the tunnel', this.#sources.handshakes()),
    ]);
    const registered = record === undefined ? undefined : record.value?.outcome === 'ok';
    return { registered, record: record?.value, handshakes: handshakes?.value };
  }
}

/** The value in a box of its own, so that "nothing there" and "not readable" differ. */
async function attempted<T>(what: string, work: Promise<T>): Promise<{ readonly value: T } | undefined> {
  try {
    return { value: await work };
  } catch (thrown) {
    ui.debug(`the ${what} cannot be read: ${errorChain(thrown)}`);
    return undefined;
  }
}
