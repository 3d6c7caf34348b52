/**
 * What this image lets its host say to PID 1, udev and the kernel before `prepare` runs. Nothing of it is in RTMR3, so an
 * image has to close it. docs/threat-model.md has the whole list; here is what can be seen from inside.
 */
import { type Cmdline, parseCmdline } from '../../config/cmdline.ts';
import * as ui from '../../ui.ts';
import { type FindingResult, failed, ok, warning } from './finding.ts';
import type { GuestMachine } from './guest-machine.ts';

const MEASURED = 'on the measured kernel command line';

/** systemd's false values (systemd.syntax(7)). */
const isOff = (value: string | undefined): boolean =>
  value !== undefined && ['0', 'no', 'n', 'false', 'f', 'off'].includes(value.toLowerCase());

/** Generators that act on something of the host, with the word that switches each off. */
const GENERATORS = [
  { name: 'systemd-gpt-auto-generator', word: 'systemd.gpt_auto', does: 'mounts partitions by their type' },
  { name: 'systemd-ssh-generator', word: 'systemd.ssh_auto', does: 'lets the host log in over vsock' },
  { name: 'systemd-getty-generator', word: 'systemd.getty_auto', does: 'offers a login on consoles of the host' },
] as const;
/** Later folders are hidden by earlier ones (systemd.generator(7)). */
const GENERATOR_DIRS = ['/run', '/etc', '/usr/local/lib', '/usr/lib'].map((dir) => `${dir}/systemd/system-generators`);

/** Rules that put volumes together as soon as their parts are seen. */
const ASSEMBLING = /^\d+-(lvm[\w-]*|md-raid-assembly|multipath|bcache)\.rules$/;
/** Later folders are hidden by earlier ones (udev(7)). */
const RULE_DIRS = ['/etc/udev/rules.d', '/run/udev/rules.d', '/usr/local/lib/udev/rules.d', '/usr/lib/udev/rules.d'];

/** Units that read what somebody types on a console, or wait for a login over vsock. */
const LISTENERS = [
  ...['getty@*', 'serial-getty@*', 'container-getty@*', 'autovt@*', 'console-getty.service', 'debug-shell.service'],
  ...['emergency.service', 'rescue.service', 'sshd-vsock.socket'],
];
const LISTENER =
  /^((getty|serial-getty|container-getty|autovt)@\S+|console-getty\.service|debug-shell\.service|emergency\.service|rescue\.service|sshd-vsock\.socket)$/;

/** Everything that is found open; one `ok` when nothing is. */
export async function hostInputs(guest: GuestMachine): Promise<FindingResult[]> {
  const cmdline = parseCmdline((await guest.text('/proc/cmdline')) ?? '');
  const open = [
    ...(await credentials(guest, cmdline)),
    ...(await firmwareVariables(guest)),
    ...(await generators(guest, cmdline)),
    ...(await listeners(guest)),
    ...(await assembly(guest)),
    ...(await sysrq(guest)),
  ];
  return open.length > 0 ? open : [ok('no credentials, no firmware variables, no generators, nobody on a console')];
}

/** Credentials from SMBIOS strings and fw_cfg (systemd.system-credentials(7)). */
async function credentials(guest: GuestMachine, cmdline: Cmdline): Promise<FindingResult[]> {
  const found: FindingResult[] = [];
  for (const store of ['@system', '@encrypted']) {
    const names = await guest.names(`/run/credentials/${store}`);
    if (names.length > 0)
      found.push(
        failed(
          `PID 1 was handed the credentials ${ui.printable(names.join(', '))}`,
          'systemd acts on them as root before anything is measured: do not trust what this guest did since it started',
        ),
      );
  }
  if (!isOff(cmdline.last('systemd.import_credentials')))
    found.push(
      failed(
        'the host can set up systemd by credentials',
        `put systemd.import_credentials=no ${MEASURED} of the image`,
      ),
    );
  return found;
}

/** systemd up to 257 takes options from a variable, as if they stood on the command line; others name disks to resume from. */
async function firmwareVariables(guest: GuestMachine): Promise<FindingResult[]> {
  const names = await guest.names('/sys/firmware/efi/efivars');
  if (names.length === 0) return [];
  const advice = `put efi=noruntime ${MEASURED} of the image`;
  if (names.some((name) => name.startsWith('SystemdOptions-')))
    return [failed('a variable of the firmware hands PID 1 options (SystemdOptions)', advice)];
  return [warning(`PID 1 can read ${names.length} variables of the firmware, and acts on some`, advice)];
}

/** The first file of that name counts; a link to /dev/null, or an empty file, masks it. */
async function inForce(guest: GuestMachine, dirs: readonly string[], name: string): Promise<boolean> {
  for (const dir of dirs) {
    const target = await guest.target(`${dir}/${name}`);
    if (target !== undefined) return target !== '/dev/null';
  }
  return false;
}

async function generators(guest: GuestMachine, cmdline: Cmdline): Promise<FindingResult[]> {
  const found: FindingResult[] = [];
  for (const { name, word, does } of GENERATORS)
    if (!isOff(cmdline.last(word)) && (await inForce(guest, GENERATOR_DIRS, name)))
      found.push(
        failed(
          `${name} ${does}`,
          `link /etc/systemd/system-generators/${name} to /dev/null, or put ${word}=no ${MEASURED}`,
        ),
      );
  return found;
}

async function listeners(guest: GuestMachine): Promise<FindingResult[]> {
  const list = ['list-units', '--all', '--plain', '--no-legend', '--full', ...LISTENERS];
  const { stdout } = await guest.look('systemctl', list);
  return stdout.split('\n').flatMap((line) => {
    const [unit = '', , active = ''] = line.trim().split(/\s+/);
    if (!LISTENER.test(unit) || !['active', 'activating', 'reloading'].includes(active)) return [];
    return [failed(`${ui.printable(unit)} takes what the host types`, `mask ${ui.printable(unit)} in the image`)];
  });
}

async function assembly(guest: GuestMachine): Promise<FindingResult[]> {
  const names = new Set((await Promise.all(RULE_DIRS.map((dir) => guest.names(dir)))).flat());
  const found: string[] = [];
  for (const name of [...names].filter((each) => ASSEMBLING.test(each)).sort())
    if (await inForce(guest, RULE_DIRS, name)) found.push(name);
  if (found.length === 0) return [];
  return [
    warning(
      `udev assembles volumes of any disk the host attaches: ${found.join(', ')}`,
      'leave their packages out of the image, or link the rules to /dev/null in /etc/udev/rules.d',
    ),
  ];
}

/** A break on the serial line is the SysRq key (Documentation/admin-guide/sysrq.rst). */
async function sysrq(guest: GuestMachine): Promise<FindingResult[]> {
  const mask = (await guest.text('/proc/sys/kernel/sysrq'))?.trim();
  if (mask === undefined || mask === '0') return [];
  return [
    warning(
      `a break on the serial console is a SysRq key, and some work (mask ${ui.printable(mask)})`,
      'set kernel.sysrq=0 in /usr/lib/sysctl.d, or put sysctl.kernel.sysrq=0 on the command line',
    ),
  ];
}
