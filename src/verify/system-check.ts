/**
 * Is the operating system of a quote the one it is compared with: MRTD and RTMR0 to RTMR2 computed from the reference, the
 * shape of the VM and, for the ACPI tables alone, the event log (dstack os-image, sections 3 to 6).
 */
import { toHex } from '../codec/hex.ts';
import { Fields } from '../config/fields.ts';
import { parseStrictJson } from '../config/strict-json.ts';
import { parseVmConfig, type VmConfig } from '../config/vm-config.ts';
import { errorChain } from '../errors.ts';
import { type AcpiDigests, readBoundMeasurement, shapeFromVmConfig, type VmShape } from '../os-image/os-image.ts';
import type { TdQuoteBody } from '../tdx/quote-layout.ts';
import { isAcpiData, isMeasured, type TdxEvent } from '../tdx/tdx-event.ts';
import { type Check, fail, note, pass, unknown } from './check.ts';
import type { Evidence } from './evidence-forms.ts';
import { documentReference, type ExpectedSystem, type SystemReference } from './system-reference.ts';
import { checkRegisters, type SystemDrift } from './system-registers.ts';

export interface SystemCheckOptions {
  /** the user's own: each is judged */
  readonly references: readonly SystemReference[];
  /** shape of the VM instead of the one in the evidence */
  readonly vmConfig?: VmConfig | undefined;
  /** os_image_hash that the user pins, lower-case hex */
  readonly pinnedHash?: string | undefined;
}

/**
 * `proven`: the registers are those of a system that the user named. `consistent`: those of a system that only the host
 * named. `refused`: they are not. `unchecked`: they could not be computed.
 */
export type SystemVerdict = 'proven' | 'consistent' | 'refused' | 'unchecked';

export interface SystemReport {
  readonly verdict: SystemVerdict;
  readonly reference: SystemReference;
  readonly drift?: SystemDrift;
  /** hex; the digests that only the host vouches for */
  readonly acpi?: { readonly loader: string; readonly rsdp: string; readonly tables: string };
  readonly assumed: readonly string[];
  /** what the registers were compared with; absent when it could not be computed */
  readonly expected?: ExpectedSystem;
}

export interface SystemCheck {
  readonly checks: readonly Check[];
  /** of the first reference: the user's own before the one in the evidence */
  readonly report?: SystemReport;
}

/** Judges every reference; without one, what the evidence itself brings. Never throws for what the evidence holds. */
export function checkSystem(evidence: Evidence, body: TdQuoteBody, options: SystemCheckOptions): SystemCheck {
  if (evidence.platform !== 'tdx') return { checks: [] };
  const stated = statedConfig(evidence.config);
  const checks: Check[] = [];
  let references = options.references;
  if (!references.some(({ kind }) => kind !== 'prediction')) {
    const own = ownReference(stated.config, options.pinnedHash);
    if (own.check !== undefined) checks.push(own.check);
    if (own.reference !== undefined) references = [own.reference, ...references];
  }
  const config = options.vmConfig ?? stated.config;
  const reports = references.map((reference) => {
    const judged = judge(reference, { body, evidence, options, config, stated: stated.config, why: stated.why });
    checks.push(...judged.checks);
    return judged.report;
  });
  const report = reports.find(({ verdict }) => verdict === 'refused') ?? reports.find(isUsers) ?? reports[0];
  return { checks, ...(report === undefined ? {} : { report }) };
}

const isUsers = ({ reference }: SystemReport): boolean => reference.kind !== 'evidence';

/** What the host wrote of this VM. A text that cannot be read is no reason to refuse a guest: it is a reason not to use it. */
function statedConfig(text: string): { config?: VmConfig; why: string } {
  const none = 'nothing in the evidence states the shape of the VM: give --vm-config';
  if (text === '') return { why: none };
  try {
    const path = 'vm_config';
    let fields = new Fields(parseStrictJson(text, path), { path });
    // older guests put the whole system configuration here, with the vm_config text inside
    const inner = fields.raw('vm_config');
    if (typeof inner === 'string') fields = new Fields(parseStrictJson(inner || '{}', path), { path });
    return { config: parseVmConfig(fields), why: none };
  } catch (thrown) {
    return { why: `vm_config of the evidence cannot be used: ${errorChain(thrown)}` };
  }
}

/** The measurement document inside the evidence, and what its hash is worth. */
function ownReference(
  config: VmConfig | undefined,
  pinned: string | undefined,
): { reference?: SystemReference; check?: Check } {
  const name = 'system-image';
  const bound = config?.tdxMeasurement;
  if (config === undefined || bound === undefined) {
    if (config?.tdxAttestationVariant !== 'lite') return {};
    return { check: note(name, 'the host states variant lite, and yet no measurement document is in the evidence') };
  }
  try {
    const { document, osImageHash } = readBoundMeasurement(bound);
    const [found, said] = [toHex(osImageHash), toHex(config.osImageHash)];
    if (found !== said) {
      return { check: fail(name, `the checksum file has SHA-256 ${found}, os_image_hash is ${said || 'not stated'}`) };
    }
    const reference = documentReference('evidence', 'measurement document in the evidence', document, osImageHash);
    return {
      reference,
      check:
        pinned === found
          ? pass(name, `measurement document and checksum file belong to the pinned os_image_hash ${found}`)
          : note(name, `measurement document and checksum file belong to os_image_hash ${found}, which the host chose`),
    };
  } catch (thrown) {
    return { check: fail(name, `the measurement document in the evidence: ${errorChain(thrown)}`) };
  }
}

interface Context {
  readonly body: TdQuoteBody;
  readonly evidence: Evidence;
  readonly options: SystemCheckOptions;
  readonly config: VmConfig | undefined;
  readonly stated: VmConfig | undefined;
  readonly why: string;
}

function judge(reference: SystemReference, context: Context): { checks: Check[]; report: SystemReport } {
  const { options, config, evidence, body } = context;
  const hash = reference.osImageHash && toHex(reference.osImageHash);
  const asked = reference.kind !== 'evidence' || (hash !== undefined && options.pinnedHash === hash);
  const prefix = reference.kind === 'prediction' ? 'expect system-' : 'system-';
  const good = asked ? pass : note;
  const open = asked ? unknown : note;
  const image = reference.kind === 'evidence' ? [] : imageChecks(`${prefix}image`, reference, context);
  const checks: Check[] = [];
  const ended = (verdict: SystemVerdict, more: Omit<SystemReport, 'verdict' | 'reference' | 'assumed'> = {}) => ({
    // behind the registers: which event drifts says more than that the image is another one
    checks: [...checks, ...image],
    report: { verdict, reference, assumed: [], ...more },
  });
  if (reference.needsShape && (config === undefined || config.memorySize === 0)) {
    checks.push(open(`${prefix}registers`, config === undefined ? context.why : 'vm_config states no memory_size'));
    return ended('unchecked');
  }
  const shape: VmShape = config === undefined ? NO_SHAPE : shapeFromVmConfig(config);
  const log = (evidence.eventLog ?? []).filter((event) => isMeasured(event) && event.imr < 3);
  const acpi = acpiOf(log);
  let expected: ExpectedSystem;
  try {
    expected = reference.expected(shape, acpi);
  } catch (thrown) {
    checks.push(open(`${prefix}registers`, `they cannot be computed: ${errorChain(thrown)}`));
    return ended('unchecked');
  }
  const found = checkRegisters({ reference, expected, shape, log, acpi, body, prefix, good, open });
  checks.push(...found.checks);
  const all = [...checks, ...image];
  const broken = all.some(({ outcome }) => outcome === 'fail');
  const unclear = found.unclear || all.some(({ outcome }) => outcome === 'unknown');
  const verdict = broken ? 'refused' : unclear ? 'unchecked' : asked ? 'proven' : 'consistent';
  const tables = acpi && { loader: toHex(acpi.loader), rsdp: toHex(acpi.rsdp), tables: toHex(acpi.tables) };
  const judged = ended(verdict, { ...(found.drift && { drift: found.drift }), ...(tables && { acpi: tables }) });
  return { ...judged, report: { ...judged.report, assumed: expected.assumed, expected } };
}

const NO_SHAPE: VmShape = {
  ...{ cpuCount: 0, memorySize: 0, pciHole64Size: 0, hugepages: false, numGpus: 0, numNvswitches: 0, numNics: 0 },
  ...{ numVerityVolumes: 0, swtpm: false, hotplugOff: false, hostShareMode: '' },
};

/** The chain from the reference to os_image_hash, and whether host and user mean the same image. */
function imageChecks(name: string, reference: SystemReference, { stated, options }: Context): Check[] {
  const { broken, osImageHash } = reference;
  if (broken !== undefined) return [unknown(name, broken)];
  if (osImageHash === undefined) return [note(name, `${reference.name} is bound to no os_image_hash`)];
  const hash = toHex(osImageHash);
  const said = stated && toHex(stated.osImageHash);
  if (options.pinnedHash !== undefined && options.pinnedHash !== hash) {
    return [fail(name, `${reference.name} has os_image_hash ${hash}, pinned is ${options.pinnedHash}`)];
  }
  if (said !== undefined && said !== '' && said !== hash) {
    return [fail(name, `${reference.name} has os_image_hash ${hash}, the host states ${said}`)];
  }
  return [pass(name, `${reference.name} has os_image_hash ${hash}`)];
}

/** The digests of the three tables that QEMU made; undefined unless the log has exactly these three. */
function acpiOf(log: readonly TdxEvent[]): AcpiDigests | undefined {
  const events = log.filter(isAcpiData);
  const [loader, rsdp, tables] = ['acpi-loader', 'acpi-rsdp', 'acpi-tables'].map((name) =>
    events.find(({ event }) => event === name),
  );
  if (events.length !== 3 || loader === undefined || rsdp === undefined || tables === undefined) return undefined;
  return { loader: loader.digest, rsdp: rsdp.digest, tables: tables.digest };
}
