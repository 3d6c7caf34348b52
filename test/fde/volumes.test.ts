import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ENVELOPE_SIZE, parseEnvelope } from '../../src/fde/volume-envelope.ts';
import { scanVolumes } from '../../src/fde/volume-scan.ts';
import { mountVerityVolumes } from '../../src/fde/volumes.ts';
import { FakeDiskMachine, poke } from './fake-disk-machine.ts';

const ROOT_A = new Uint8Array(32).fill(0xaa);
const ROOT_B = new Uint8Array(32).fill(0xbb);
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

function envelope(root: Uint8Array, kind = 1): Uint8Array {
  const bytes = Buffer.alloc(ENVELOPE_SIZE);
  bytes.write('DSTACK_VOLUME', 0, 'latin1');
  bytes.writeUInt32LE(kind, 16);
  bytes.set(root, 20);
  return new Uint8Array(bytes);
}

describe('parseEnvelope', () => {
  it('reads a verity volume and other kinds', () => {
    expect(parseEnvelope(envelope(ROOT_A))).toEqual({ kind: 'verity', root: ROOT_A });
    expect(parseEnvelope(envelope(ROOT_A, 2))).toEqual({ kind: 'other', number: 2 });
  });

  it.each([0, 13, 15, 60, 4095])('refuses a changed byte %i', (at) => {
    const bytes = envelope(ROOT_A);
    bytes[at]! ^= 1;
    expect(parseEnvelope(bytes)).toBeUndefined();
  });

  it('property: any bytes are judged without an error', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 5000 }), (bytes) => {
        expect(parseEnvelope(bytes)).toBeUndefined();
      }),
    );
  });
});

describe('verity volumes', () => {
  let machine: FakeDiskMachine;
  beforeEach(async () => {
    machine = await FakeDiskMachine.create();
    await machine.addDisk('vdb', 1);
    await volumeDisk('vdc', ROOT_A);
    await volumeDisk('vdd', ROOT_B);
  });
  afterEach(() => machine.destroy());

  async function volumeDisk(disk: string, root: Uint8Array, kind = 1): Promise<void> {
    await machine.addDisk(disk, 1);
    await poke(await machine.addPartition(disk, 1, 'meta', 1), 0, envelope(root, kind));
    await machine.addPartition(disk, 2, 'data', 1);
    await machine.addPartition(disk, 3, 'hash', 1);
  }
  const volume = (verityRoot: Uint8Array, target: string) => ({
    source: 'v.img',
    verityRoot,
    target: `${machine.dev}${target}`,
  });

  it('are found by their envelope, in the order of the disks', async () => {
    await volumeDisk('vde', ROOT_A, 7);
    expect(await scanVolumes(machine)).toEqual([
      { root: ROOT_A, data: machine.path('vdc2'), hash: machine.path('vdc3') },
      { root: ROOT_B, data: machine.path('vdd2'), hash: machine.path('vdd3') },
    ]);
  });

  it('are opened with the root hash of the compose file and mounted in order; one serves several targets', async () => {
    await mountVerityVolumes([volume(ROOT_B, '/b'), volume(ROOT_A, '/a'), volume(ROOT_B, '/c')], machine);
    const opened = machine.calls.filter((call) => call.startsWith('veritysetup open'));
    expect(opened).toEqual([
      `veritysetup open ${machine.path('vdd2')} dstack-verity0 ${machine.path('vdd3')} ${hex(ROOT_B)}`,
      `veritysetup open ${machine.path('vdc2')} dstack-verity1 ${machine.path('vdc3')} ${hex(ROOT_A)}`,
    ]);
    const mapper = machine.path('mapper/dstack-verity0');
    expect((await machine.mounts()).map(({ source, mountPoint }) => [source, mountPoint])).toEqual([
      [mapper, `${machine.dev}/b`],
      [machine.path('mapper/dstack-verity1'), `${machine.dev}/a`],
      [mapper, `${machine.dev}/c`],
    ]);
  });

  it('do nothing when none is asked for', async () => {
    await mountVerityVolumes([], machine);
    expect(machine.calls).toEqual([]);
  });

  it('refuse a duplicate target and a root that no disk offers', async () => {
    await expect(mountVerityVolumes([volume(ROOT_A, '/a'), volume(ROOT_B, '/a')], machine)).rejects.toMatchObject({
      code: 'VOLUME_INVALID',
      message: expect.stringContaining('duplicate verity volume target'),
    });
    const unknown = volume(new Uint8Array(32), '/a');
    await expect(mountVerityVolumes([unknown], machine)).rejects.toMatchObject({ code: 'VOLUME_INVALID' });
    expect(machine.count('veritysetup open')).toBe(0);
  });

  it('refuse a target that is taken, and close the mapping again', async () => {
    await machine.run('mount', ['-t', 'tmpfs', 'tmpfs', `${machine.dev}/a`]);
    await expect(mountVerityVolumes([volume(ROOT_A, '/a')], machine)).rejects.toMatchObject({ code: 'VOLUME_INVALID' });
    expect(machine.calls.at(-1)).toBe('veritysetup close dstack-verity0');
  });
});
