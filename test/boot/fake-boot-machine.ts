/**
 * A machine made of fakes that obey the rules of the real one: the event log refuses events before its version is fixed,
 * the quoting enclave wants 64 bytes, the disk wants a key that nobody has wiped, `mount` knows what is mounted.
 */
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BootMachine } from '../../src/boot/boot-machine.ts';
import type { BootServices } from '../../src/boot/boot-services.ts';
import { HostNotifier } from '../../src/boot/notifier.ts';
import type { BootDependencies, RunSetup } from '../../src/boot/run.ts';
import { parseCmdline } from '../../src/config/cmdline.ts';
import { DstackError } from '../../src/errors.ts';
import type { Attestation } from '../../src/tdx/attestation.ts';
import { eventDigest, type RuntimeEvent } from '../../src/tdx/events.ts';

/** A v4 quote without signature, all zero but for the register MR_CONFIG_ID and the report data. */
export function bareQuote(reportData: Uint8Array, mrConfigId = new Uint8Array(48)): Uint8Array {
  const quote = new Uint8Array(636);
  quote[0] = 4;
  quote[2] = 2;
  quote[4] = 0x81;
  quote.set(mrConfigId, 232);
  quote.set(reportData, 568);
  return quote;
}

export const COMPOSE = {
  manifest_version: 2,
  name: 'demo',
  runner: 'docker-compose',
  docker_compose_file: 'services:\n  web:\n    image: demo\n',
  secure_time: false,
};
export const SYS_CONFIG = { host_api_url: 'unix:/host.sock', vm_config: '{"os_image_hash":"abcd"}' };

export class FakeBootMachine {
  readonly events: RuntimeEvent[] = [];
  readonly commands: string[] = [];
  readonly told: [string, string][] = [];
  readonly mounted = new Set<string>();
  /** programs that fail, by the start of their command line */
  readonly failing = new Set<string>();
  readonly steps: string[] = [];
  mrConfigId = new Uint8Array(48);
  cmdline = '';
  blankDisk = true;
  quotes = 0;
  diskKey: string | undefined;
  #version: 1 | 2 | undefined;
  #tee = true;
  root = '';

  async begin(): Promise<void> {
    this.root = await mkdtemp(join(tmpdir(), 'machine-'));
    await mkdir(join(this.root, 'share'));
    await this.share('.sys-config.json', SYS_CONFIG);
    await this.share('app-compose.json', COMPOSE);
  }

  async end(): Promise<void> {
    delete process.env['DSTACK_HOST_SHARED_DIR'];
    await rm(this.root, { recursive: true, force: true });
  }

  /** Puts a file on the host share. */
  share(name: string, content: unknown): Promise<void> {
    const bytes = typeof content === 'string' || content instanceof Uint8Array ? content : JSON.stringify(content);
    return writeFile(join(this.root, 'share', name), bytes);
  }

  takeTeeAway(): void {
    this.#tee = false;
  }

  path(...parts: string[]): string {
    return join(this.root, ...parts);
  }

  get options(): RunSetup {
    return {
      workDir: this.path('work'),
      mountPoint: this.path('work/persistent'),
      hostShared: this.path('share'),
      runDir: this.path('run'),
      device: '/dev/vdb1',
      dockerConfig: this.path('daemon.json'),
    };
  }

  /** everything a sequence gets to see: this fake, and nothing of the machine the tests run on */
  dependencies(changed: Partial<BootServices> = {}): BootDependencies {
    return {
      machine: this.bootMachine,
      services: { ...this.services, ...changed },
      host: this.host,
      preparedFile: this.path('run/prepared.json'),
      timelineFile: this.path('boot.jsonl'),
    };
  }

  readonly host = new HostNotifier(async (_url, event, payload) => {
    this.told.push([event, payload]);
  });

  of(event: string): string[] {
    return this.told.filter(([name]) => name === event).map(([, payload]) => payload);
  }

  get bootMachine(): BootMachine {
    return {
      root: this.root,
      mountAt: async (path) =>
        this.mounted.has(path)
          ? { device: '0:1', root: '/', mountPoint: path, type: 'overlay', source: 'x', options: '' }
          : undefined,
      bindMount: async (source, target) => {
        this.commands.push(`bind ${source} to ${target}`);
        this.mounted.add(target);
      },
      run: async (program, args, options = {}) => {
        const shown = [program, ...args].join(' ');
        this.commands.push(shown);
        if ([...this.failing].some((start) => shown.startsWith(start))) {
          throw new DstackError(options.code ?? 'COMMAND_FAILED', `\`${shown}\` failed with exit status 1`);
        }
        const target = args.at(-1) ?? '';
        if (program === 'mount') this.mounted.add(target);
        if (program === 'umount' && !this.mounted.delete(target)) {
          throw new DstackError('MOUNT_FAILED', `${target} is not mounted`);
        }
        return { exit: 0, stdout: '', stderr: '' };
      },
    };
  }

  #evidence(reportData: Uint8Array): Attestation {
    return {
      platform: { kind: 'tdx', quote: bareQuote(reportData, this.mrConfigId), eventLog: [] },
      reportData,
      runtimeEvents: [...this.events],
      config: SYS_CONFIG.vm_config,
    };
  }

  get services(): BootServices {
    const step = (text: string) => void this.steps.push(text);
    return {
      pause: async () => {}, // time passes at once
      cmdline: async () => parseCmdline(this.cmdline),
      checkClock: async () => step('check clock'),
      osVersion: async () => '0.6.0',
      detectTee: async () => {
        if (!this.#tee) throw new DstackError('TEE_NOT_FOUND', 'no TDX device found');
        return { variant: 'dstack-tdx' };
      },
      setEventVersion: async (version) => {
        if (this.#version !== undefined && this.#version !== version) {
          throw new DstackError('EVENT_VERSION_CONFLICT', 'another version is fixed');
        }
        this.#version = version;
      },
      emitEvent: async (event, payload) => {
        if (this.#version === undefined) throw new DstackError('EVENT_VERSION_MISSING', 'no version');
        const runtimeEvent = { event, payload: payload.slice(), version: this.#version };
        this.events.push(runtimeEvent);
        step(`event ${event}`);
        return { digest: eventDigest(runtimeEvent) };
      },
      takeQuote: async (reportData) => {
        if (reportData.length !== 64) throw new DstackError('REPORT_DATA_INVALID', 'not 64 bytes');
        this.quotes += 1;
        step('quote');
        return bareQuote(reportData, this.mrConfigId);
      },
      takeAttestation: async (reportData) => {
        step('attestation');
        return this.#evidence(reportData);
      },
      ownEvidence: async () => {
        step('report');
        return this.#evidence(new Uint8Array(64));
      },
      chooseDataDevice: async () => {
        step('choose disk');
        return { device: '/dev/vdb1', how: 'partlabel', created: false };
      },
      growPartition: async () => step('grow'),
      openDataDisk: async (options) => {
        if (options.encrypted && options.key.every((byte) => byte === 0)) {
          throw new DstackError('LUKS_KEY_WRONG', 'the key was wiped too early');
        }
        this.diskKey = createHash('sha256').update(options.key).digest('hex');
        options.onStep?.(this.blankDisk ? 'initializing data disk' : 'mounting data disk');
        step(`disk ${options.device} ${options.fs} ${options.encrypted ? 'encrypted' : 'plain'} ${options.ephemeral}`);
        return { action: this.blankDisk ? 'initialised' : 'mounted' };
      },
      setupSwap: async ({ size }) => step(`swap ${size}`),
      forgetRestarts: async (device) => step(`forget restarts ${device}`),
      mountVerityVolumes: async (volumes) => step(`volumes ${volumes.length}`),
      joinGateway: async () => step('join the gateway'),
      setupDockerRegistry: async (registry) => step(`registry ${registry ?? 'none'}`),
      extractComposeFile: async (_, dir) => step(`compose file in ${dir}`),
      removeOrphansOffline: async () => step('orphans'),
      holdContainers: async () => step('hold'),
    };
  }
}
