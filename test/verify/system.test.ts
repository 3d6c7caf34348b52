import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toHex } from '../../src/codec/hex.ts';
import { Fields } from '../../src/config/fields.ts';
import { readMeasurementDocument, readSystemPins, systemJson } from '../../src/os-image/os-image.ts';
import { parseQuote } from '../../src/tdx/quote-layout.ts';
import { EV_NO_ACTION, type TdxEvent } from '../../src/tdx/tdx-event.ts';
import { readEvidence } from '../../src/verify/recognise.ts';
import { reportText } from '../../src/verify/report-text.ts';
import { checkSystem } from '../../src/verify/system-check.ts';
import {
  documentReference,
  imageReference,
  pinsReference,
  type SystemReference,
} from '../../src/verify/system-reference.ts';
import { judge, NOW, named } from './guest.ts';
import {
  answerOf,
  CMDLINE,
  FILES,
  type Files,
  flip,
  folderOf,
  fromDocument,
  fromImage,
  logOf,
  measurementOf,
  OTHER_KERNEL,
  type Vm,
  vmConfigOf,
} from './system-fixture.ts';

const CONFIG = vmConfigOf(FILES);
const HASH = CONFIG['os_image_hash'] as string;
/** The VM as seen from its image, and as seen from its document. */
const VM: Vm = { measured: fromImage(FILES), config: CONFIG };
const LITE: Vm = { measured: fromDocument(FILES), config: CONFIG };
/** The host says nothing that leads to a system. */
const SILENT = { ...CONFIG, tdx_measurement: undefined, os_image_hash: HASH };

const image = (files: Files): SystemReference => imageReference(folderOf(files));
const documentOf = (bytes: Uint8Array): SystemReference =>
  documentReference('document', 'measurement document m.cbor', readMeasurementDocument(bytes));
const judged = (vm: Vm, references: readonly SystemReference[] = [], expect: readonly string[] = []) =>
  judge(answerOf(vm), { system: { references }, expect });
const fails = async (vm: Vm, ...references: SystemReference[]): Promise<string[]> =>
  named(await judged(vm, references), 'fail').filter((text) => /^(expect )?system-/.test(text));
const textOf = (report: Awaited<ReturnType<typeof judged>>): string =>
  reportText(report, { at: NOW, root: { name: 'r', sha256: '', intel: false } }, 160);

const flipped = (base64: string, at: number): string =>
  Buffer.from(flip(Buffer.from(base64, 'base64'), at)).toString('base64');

describe('a system', () => {
  it.each([
    ['an image folder', VM, [image(FILES)], []],
    ['a measurement document', LITE, [documentOf(measurementOf(FILES))], []],
    ['the document in the evidence, whose hash is pinned', LITE, [], [`os-image-hash=${HASH}`]],
  ])('is proven by %s', async (_, vm, references, pins) => {
    const report = await judged(vm, references, pins);
    expect([report.verdict, ...named(report, 'fail'), ...named(report, 'unknown')]).toEqual(['valid']);
    expect(report.system?.verdict).toBe('proven');
    expect(named(report, 'pass').filter((text) => /system-(mrtd|rtmr[012]): is that of/.test(text))).toHaveLength(4);
    expect(named(report, 'note').join()).toContain(
      'system-acpi: the host made the ACPI tables, and nobody else vouches',
    );
    expect(textOf(report)).toMatch(/^system {6}proven: its registers are those of /m);
  });

  it('is proven by a prediction file, with and without the digests of the ACPI tables', async () => {
    for (const acpi of [true, false]) {
      const json = systemJson(fromImage(FILES), folderOf(FILES).osImageHash) as Record<string, unknown>;
      if (!acpi) {
        json['rtmr0'] = null;
        for (const event of json['events'] as { event: string; digest: string | null }[]) {
          if (event.event.startsWith('acpi-')) event.digest = null;
        }
      }
      const pins = readSystemPins(new Fields(JSON.parse(JSON.stringify(json)), { path: 'p.json' }));
      const report = await judged({ ...VM, config: SILENT }, [pinsReference('prediction p.json', pins)]);
      expect([report.verdict, report.system?.verdict, ...named(report, 'fail')]).toEqual(['valid', 'proven']);
      const other = { measured: fromImage({ ...FILES, kernel: OTHER_KERNEL }), config: SILENT };
      expect((await fails(other, pinsReference('prediction p.json', pins)))[0]).toMatch(
        /^expect system-rtmr1: RTMR1 event 1 \(kernel\)/,
      );
    }
  });

  it('that only the host names is consistent, and never said to be proven', async () => {
    const report = await judged(LITE);
    expect([report.verdict, report.system?.verdict]).toEqual(['valid', 'consistent']);
    expect(named(report, 'pass').join()).not.toMatch(/system-/);
    expect(named(report, 'note').join()).toContain(`os_image_hash ${HASH}, which the host chose`);
    const text = textOf(report);
    expect(text).toMatch(/^system {6}not proven$/m);
    expect(text).toMatch(/os image hash +[0-9a-f]{64} \(as the host says, and the registers agree\)$/m);
  });

  it('is judged against the pinned hash, not against what the host says', async () => {
    const other = '00'.repeat(32);
    const report = await judged(LITE, [], [`os-image-hash=${other}`]);
    expect([report.verdict, report.system?.verdict]).toEqual(['invalid', 'consistent']);
    const mine = await judged(VM, [image(FILES)], [`os-image-hash=${other}`]);
    expect(named(mine, 'fail').join()).toContain(
      `system-image: image folder image has os_image_hash ${HASH}, pinned is ${other}`,
    );
  });

  it('whose pinned hash nobody can recompute is not proven by the word of the host', async () => {
    const report = await judged({ ...VM, config: SILENT }, [], [`os-image-hash=${HASH}`]);
    expect([report.verdict, report.system, report.proof.system.state]).toEqual(['unchecked', undefined, 'not proven']);
    expect(named(report, 'unknown').join()).toContain(
      `os-image-hash: ${HASH} is what the host states, and no register proves it`,
    );
    const proven = await judged(LITE, [], [`os-image-hash=${HASH}`]);
    expect(named(proven, 'pass')).toContain(`expect os-image-hash: ${HASH}`);
  });

  it('proves nothing in a quote that is not genuine', async () => {
    const bytes = answerOf(LITE);
    const answer = JSON.parse(Buffer.from(bytes).toString()) as Record<string, string>;
    answer['quote'] =
      answer['quote']?.replace(/^(.{1300})(..)/, (_, head, two) => head + (two === '00' ? '01' : '00')) ?? '';
    const report = await judge(new Uint8Array(Buffer.from(JSON.stringify(answer))), {
      expect: [`os-image-hash=${HASH}`],
    });
    expect([report.verdict, report.system?.verdict]).toEqual(['invalid', 'refused']);
  });
});

describe('one changed byte is named', () => {
  const part = (change: Partial<Files>) => async () => fails({ ...VM, config: SILENT }, image({ ...FILES, ...change }));
  const measured = (change: Partial<Files>) => async () =>
    fails({ measured: fromImage({ ...FILES, ...change }), config: SILENT }, image(FILES));
  /** the document that the user has, with a byte changed behind a key */
  const inDocument = (key: string, offset: number) => async () => {
    const bytes = measurementOf(FILES);
    const at = Buffer.from(bytes).indexOf(key) + key.length + offset;
    return fails({ ...LITE, config: SILENT }, documentOf(flip(bytes, at)));
  };
  const inEvidence = (change: (bound: { checksum_file: string; measurement: string }) => object) => async () => {
    const bound = CONFIG['tdx_measurement'] as { checksum_file: string; measurement: string };
    return fails({ ...LITE, config: { ...CONFIG, tdx_measurement: change(bound) } });
  };
  const inLog = (change: (log: TdxEvent[]) => TdxEvent[]) => async () =>
    fails({ ...VM, config: SILENT, log: change(logOf(VM.measured)) }, image(FILES));
  const digestAt = (index: number) => (log: TdxEvent[]) =>
    log.map((event, at) => (at === index ? { ...event, digest: flip(event.digest, 40) } : event));

  it.each<[string, () => Promise<string[]>, RegExp]>([
    [
      'the first byte of the kernel’s code',
      part({ kernel: flip(FILES.kernel, 8000) }),
      /^system-rtmr1: RTMR1 event 1 \(kernel\)/,
    ],
    [
      'the last byte of the kernel',
      part({ kernel: flip(FILES.kernel, FILES.kernel.length - 1) }),
      /^system-rtmr1: RTMR1 event 1 \(kernel\)/,
    ],
    [
      'the kernel’s setup header',
      part({ kernel: flip(FILES.kernel, 0x1f1) }),
      /^system-rtmr1: RTMR1 event 1 \(kernel\)/,
    ],
    [
      'the first byte of the initrd',
      part({ initrd: flip(FILES.initrd, 0) }),
      /^system-rtmr2: RTMR2 event 2 \(initrd\)/,
    ],
    [
      'the last byte of the initrd',
      part({ initrd: flip(FILES.initrd, FILES.initrd.length - 1) }),
      /^system-rtmr2: RTMR2 event 2 \(initrd\)/,
    ],
    [
      'the command line',
      part({ cmdline: CMDLINE.replace('ttyS0', 'ttyS1') }),
      /^system-rtmr2: RTMR2 event 1 \(command-line\)/,
    ],
    ['the firmware’s code', part({ firmware: flip(FILES.firmware, 9000) }), /^system-mrtd: .* another firmware file/],
    [
      'the firmware’s variable store',
      part({ firmware: flip(FILES.firmware, 4000) }),
      /^system-rtmr0: RTMR0 event 2 \(configuration-volume\)/,
    ],
    [
      'the kernel that was started',
      measured({ kernel: flip(FILES.kernel, 8000) }),
      /^system-rtmr1: RTMR1 event 1 \(kernel\).* another kernel/,
    ],
    [
      'the initrd that was started',
      measured({ initrd: flip(FILES.initrd, 100) }),
      /^system-rtmr2: RTMR2 event 2 \(initrd\).* another initrd$/,
    ],
    [
      'the command line of the host',
      measured({ cmdline: `${CMDLINE}x` }),
      /^system-rtmr2: RTMR2 event 1 \(command-line\).* the host passed another/,
    ],
    [
      'the firmware that was started',
      measured({ firmware: flip(FILES.firmware, 9000) }),
      /^system-mrtd: the quote has/,
    ],
    [
      'the kernel’s digest in the document',
      inDocument('kernel_authenticode', 9),
      /^system-rtmr1: RTMR1 event 1 \(kernel\)/,
    ],
    [
      'the command line’s digest in the document',
      inDocument('cmdline_sha384', 9),
      /^system-rtmr2: RTMR2 event 1 \(command-line\)/,
    ],
    ['the initrd’s digest in the document', inDocument('initrd_sha384', 9), /^system-rtmr2: RTMR2 event 2 \(initrd\)/],
    ['MRTD in the document', inDocument('single_pass', 9), /^system-mrtd: the quote has/],
    ['the memory layout in the document', inDocument('td_hob', 6), /^system-rtmr0: RTMR0 event 1 \(td-hob\)/],
    [
      'the document in the evidence',
      inEvidence((bound) => ({ ...bound, measurement: flipped(bound.measurement, 100) })),
      /^system-image: the measurement document in the evidence: .*SHA-256/,
    ],
    [
      'the checksum file in the evidence',
      inEvidence((bound) => ({ ...bound, checksum_file: flipped(bound.checksum_file, 0) })),
      /^system-image: the checksum file has SHA-256 [0-9a-f]{64}, os_image_hash is/,
    ],
    [
      'os_image_hash in the evidence',
      () =>
        fails({ ...LITE, config: { ...CONFIG, os_image_hash: `${HASH.startsWith('0') ? '1' : '0'}${HASH.slice(1)}` } }),
      /^system-image: the checksum file has SHA-256/,
    ],
    [
      'the log: TD HOB',
      inLog(digestAt(0)),
      /^system-rtmr0: RTMR0 event 1 \(td-hob\): the log has [0-9a-f]{96}, measured was/,
    ],
    ['the log: a variable', inLog(digestAt(2)), /^system-rtmr0: RTMR0 event 3 \(SecureBoot\): the log has/],
    [
      'the log: the ACPI tables',
      inLog(digestAt(10)),
      /^system-rtmr0: the quote has .* the digest of an ACPI table in it is wrong/,
    ],
    ['the log: the kernel', inLog(digestAt(13)), /^system-rtmr1: RTMR1 event 1 \(kernel\): the log has/],
    [
      'the log: leaving boot services',
      inLog(digestAt(17)),
      /^system-rtmr1: RTMR1 event 5 \(exit-boot-services-success\): the log has/,
    ],
    ['the log: the initrd', inLog(digestAt(19)), /^system-rtmr2: RTMR2 event 2 \(initrd\): the log has/],
    [
      'the log: an event declared not to be measured',
      inLog((log) => log.map((event, at) => (at === 11 ? { ...event, eventType: EV_NO_ACTION } : event))),
      /^system-rtmr0: RTMR0 event 12 \(BootOrder\): the log has/,
    ],
    [
      'the memory size that the host states',
      () => fails({ ...VM, config: { ...SILENT, memory_size: 6 * 1024 ** 3 } }, image(FILES)),
      /\(td-hob\).*the VM has 4 GiB of memory, 6 GiB is stated$/,
    ],
    [
      'the QEMU version that the host states',
      () => fails({ ...VM, config: { ...SILENT, qemu_version: '8.2.1' } }, image(FILES)),
      /^system-mrtd: .*its pages were added in one pass.*8\.2\.1 is stated$/,
    ],
  ])('%s', async (_, run, wanted) => {
    const found = await run();
    expect(found[0]).toMatch(wanted);
    // both values stand there
    expect(found[0]).toMatch(/[0-9a-f]{64}.*[0-9a-f]{64}/);
  });

  it('and an event that drifts is in the report for programs', async () => {
    const { system } = await judged({ measured: fromImage({ ...FILES, kernel: OTHER_KERNEL }), config: SILENT }, [
      image(FILES),
    ]);
    expect(system).toMatchObject({ verdict: 'refused', drift: { register: 'rtmr1', index: 1, event: 'kernel' } });
    expect(system?.drift?.found).toBe(
      toHex(fromImage({ ...FILES, kernel: OTHER_KERNEL }).rtmrs[1].events[0]?.digest ?? new Uint8Array()),
    );
  });
});

describe('the kernel of newer QEMU', () => {
  const NEW = { ...SILENT, qemu_version: '10.2.0' };
  const vm: Vm = { measured: fromImage(FILES, NEW), config: NEW };

  it('is the one that was built, from 10.2.0 on', async () => {
    const [built, patched] = [vm, VM].map(({ measured }) => toHex(measured.rtmrs[1].value ?? new Uint8Array()));
    expect(built).not.toBe(patched);
    expect(fromImage(FILES, { ...SILENT, qemu_version: '10.1.9' }).rtmrs[1].value).toEqual(VM.measured.rtmrs[1].value);
    expect((await judged(vm, [image(FILES)])).system?.verdict).toBe('proven');
  });

  it('is told apart from another kernel where the host states another QEMU', async () => {
    const older = await fails({ ...vm, config: SILENT }, image(FILES));
    expect(older[0]).toMatch(
      /it is this kernel, as it was built, as QEMU from 10\.2\.0 on hands it over, .*: 9\.2\.1 is stated$/,
    );
    const newer = await fails({ ...VM, config: NEW }, image(FILES));
    expect(newer[0]).toMatch(
      /it is this kernel, with the header that QEMU before 10\.2\.0 writes: 10\.2\.0 is stated$/,
    );
    const document = await fails(vm, documentOf(measurementOf(FILES)));
    expect(document.join()).toMatch(
      /RTMR1 event 1 \(kernel\).*QEMU from 10\.2\.0 on, which leaves its header as built/,
    );
  });
});

describe('whatever the host states', () => {
  const body = (vm: Vm) => {
    const evidence = readEvidence(answerOf(vm));
    return { evidence, body: parseQuote(evidence.quote ?? new Uint8Array()).body };
  };

  it('a kernel that older QEMU could not even have loaded is only another kernel', () => {
    const large = { ...FILES, initrd: new Uint8Array(10 * 1024 ** 2) };
    const config = { ...SILENT, memory_size: 9 * 1024 ** 2, qemu_version: '10.2.0' };
    const { evidence, body: quoted } = body({
      measured: fromImage({ ...large, kernel: OTHER_KERNEL }, config),
      config,
    });
    const { checks } = checkSystem(evidence, quoted, { references: [image(large)] });
    expect(checks.find(({ name }) => name === 'system-rtmr1')?.detail).toMatch(/; another kernel, /);
  });

  it('is judged without a crash', () => {
    const { evidence, body: quoted } = body(LITE);
    const bound = CONFIG['tdx_measurement'] as { checksum_file: string; measurement: string };
    const member = fc.record(
      {
        memory_size: fc.oneof(fc.nat(), fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }), fc.constant('2G')),
        qemu_version: fc.oneof(fc.constantFrom('8.0.0', '10.2.0', '99999999999.0.0', ''), fc.string()),
        qemu_single_pass_add_pages: fc.boolean(),
        os_image_hash: fc.constantFrom(HASH, '', '00'),
        tdx_attestation_variant: fc.constantFrom('lite', 'legacy', 'other'),
        tdx_measurement: fc.oneof(
          fc.constant(bound),
          fc.record({ checksum_file: fc.base64String(), measurement: fc.base64String() }),
          fc.nat(500).map((at) => ({ ...bound, measurement: flipped(bound.measurement, at) })),
        ),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(member, fc.nat(60), fc.nat(0xffffffff), (members, at, type) => {
        const config = JSON.stringify({ ...CONFIG, ...members });
        const eventLog =
          evidence.eventLog?.map((event, index) => (index === at ? { ...event, eventType: type } : event)) ?? [];
        const options = { references: [image(FILES)], pinnedHash: HASH };
        for (const references of [[], options.references]) {
          const { checks } = checkSystem({ ...evidence, config, eventLog }, quoted, { ...options, references });
          for (const { detail } of checks) expect(detail).not.toMatch(/undefined|NaN|\[object/);
        }
      }),
      { numRuns: 60 },
    );
  });
});

describe('what cannot be computed', () => {
  it.each([
    [2 * 1024 ** 3, true],
    [2 * 1024 ** 3 + 4096, false],
    [0xb000_0000 - 4096, false],
    [0xb000_0000, true],
    [64 * 1024 ** 3, true],
  ])('a document tells RTMR1 of %i bytes of memory: %s', async (memory, tells) => {
    const config = vmConfigOf(FILES, { memory_size: memory, tdx_measurement: undefined });
    const vm = { measured: fromImage(FILES, config), config };
    const report = await judged(vm, [documentOf(measurementOf(FILES))]);
    const rtmr1 = report.checks.find(({ name }) => name === 'system-rtmr1');
    expect(rtmr1?.outcome).toBe(tells ? 'pass' : 'unknown');
    if (!tells)
      expect(rtmr1?.detail).toMatch(
        /^kernel: the document tells it for 2 GiB and for 2816 MiB of memory and more only/,
      );
    // the image tells it for any
    expect(named(await judged(vm, [image(FILES)]), 'fail')).toEqual([]);
  });

  it('is left open, not refused, and says what is missing', async () => {
    const silent = await judged({ ...VM, config: '' }, [image(FILES)]);
    expect([silent.verdict, silent.system?.verdict]).toEqual(['unchecked', 'unchecked']);
    expect(named(silent, 'unknown').join()).toContain('give --vm-config');
    const old = await judged({ ...VM, config: { ...SILENT, qemu_version: '7.2.0' } }, [image(FILES)]);
    expect(named(old, 'unknown').join()).toContain('qemu_version 7.2.0 is older than 8.0.0');
    const log = logOf(VM.measured).map((event) => ({ ...event, event: '' }));
    const unnamed = await judged({ ...VM, config: SILENT, log }, [image(FILES)]);
    expect(named(unnamed, 'unknown')).toEqual([
      'system-rtmr0: the digests of the ACPI tables are missing: give --event-log',
    ]);
  });

  it('is only remarked on where nobody asked', async () => {
    const small = vmConfigOf(FILES, { memory_size: 1024 ** 3 });
    const report = await judged({
      measured: fromDocument(FILES, vmConfigOf(FILES)),
      config: { ...small, qemu_version: '7.0.0' },
    });
    expect([report.verdict, report.system?.verdict]).toEqual(['valid', 'unchecked']);
    const bare = await judged({ measured: fromDocument(FILES), config: { tdx_attestation_variant: 'lite' } });
    expect(named(bare, 'note').join()).toContain('the host states variant lite, and yet no measurement document');
  });

  it('a text that is not a vm_config is no reason to refuse', async () => {
    const report = await judged({ ...VM, config: '{"os_image_hash":"abcd","memory_size":"many"}' });
    expect([report.verdict, report.system]).toEqual(['valid', undefined]);
  });
});

describe('firmware that measures in another order', () => {
  const event = (imr: number, eventType: number, text = ''): TdxEvent => ({
    ...{ imr, eventType, event: '', version: 1 as const },
    digest: new Uint8Array(48).fill(0x77),
    payload: new Uint8Array(Buffer.from(text, 'latin1')),
  });
  /** The registers follow the log, whatever it holds. */
  const booted = async (log: TdxEvent[]) => {
    const { replay } = await import('../../src/tdx/replay.ts');
    const rtmrs = VM.measured.rtmrs.map((register, imr) => ({ ...register, value: replay(log, imr) }));
    const measured = { ...VM.measured, rtmrs: rtmrs as unknown as Vm['measured']['rtmrs'] };
    return judged({ measured, config: SILENT, log }, [image(FILES)]);
  };
  const base = logOf(VM.measured);
  const insert = (at: number, ...more: TdxEvent[]) => [...base.slice(0, at), ...more, ...base.slice(at)];

  it('since edk2-stable202505 is recognised, named and not computed', async () => {
    const log = insert(11, event(0, 0x80000009));
    log.splice(2, 0, event(0, 0xa), event(0, 0xa));
    log.splice(16, 0, event(0, 0x80000002));
    const report = await booted(log);
    expect([report.verdict, report.system?.verdict, ...named(report, 'fail')]).toEqual(['unchecked', 'unchecked']);
    expect(named(report, 'unknown')).toEqual([
      'system-rtmr0: the firmware measures as OVMF does since edk2-stable202505, which cannot be computed here: ' +
        "event 3 is QEMU's BootMenu setting, event 4 is QEMU's bootorder setting, event 14 is the SMBIOS tables, event 17 is another boot option",
    ]);
  });

  it('is not believed when the log does not replay', async () => {
    const log = insert(11, event(0, 0x80000009));
    const report = await judged({ ...VM, config: SILENT, log }, [image(FILES)]);
    expect(named(report, 'fail').join()).toMatch(/system-rtmr0: RTMR0 event 12 \(the SMBIOS tables\): the log has/);
  });

  it.each([
    [
      'Ubuntu’s first TDX firmware',
      13,
      event(0, 4),
      /RTMR0 event 14 \(the separator of RTMR1\).*OVMF up to 2024.02 measures it into RTMR0$/,
    ],
    ['a boot from a disk', 14, event(1, 0x80000006), /RTMR1 event 2 \(a partition table\).*booted from a disk/],
    ['GRUB', 18, event(2, 0xd), /RTMR2 event 1 \(a step of a boot loader\).*booted from a disk/],
    ['Secure Boot', 13, event(0, 0x800000e0), /RTMR0 event 14 \(a key of Secure Boot\)/],
    [
      'an unknown type',
      5,
      event(0, 0x1234),
      /RTMR0 event 6 \(type 0x1234\).*no known firmware measures type 0x1234 there$/,
    ],
    [
      'a configuration event at another place',
      7,
      event(0, 0xa, 'x'),
      /RTMR0 event 8 \(EV_PLATFORM_CONFIG_FLAGS\).*no known firmware/,
    ],
  ])('%s is named', async (_, at, more, wanted) => {
    const report = await booted(insert(at, more));
    expect(
      named(report, 'fail')
        .filter((text) => text.startsWith('system-'))
        .join('\n'),
    ).toMatch(wanted);
  });

  it('an event that is missing is named', async () => {
    const report = await booted(base.filter((_, at) => at !== 12));
    expect(named(report, 'fail').join()).toMatch(/RTMR0 event 13 \(Boot0000\): measured was nothing/);
  });
});
