/** The doctor on images that let their host speak to PID 1, udev or the kernel before the boot. */
import { describe, expect, it } from 'vitest';
import { kernelCmdline } from '../../../initramfs/lib/cmdline.ts';
import { readList } from '../../../initramfs/lib/lists.ts';
import type { FindingResult } from '../../../src/boot/doctor/finding.ts';
import type { GuestMachine } from '../../../src/boot/doctor/guest-machine.ts';
import { hostInputs } from '../../../src/boot/doctor/host-inputs.ts';

const GENERATORS = '/usr/lib/systemd/system-generators';
const RULES = '/usr/lib/udev/rules.d';

interface Image {
  readonly cmdline: string;
  readonly sysrq?: string;
  /** folders with the names in them */
  readonly folders?: Readonly<Record<string, readonly string[]>>;
  /** paths that are links to /dev/null */
  readonly masked?: readonly string[];
  /** lines of `systemctl list-units` */
  readonly running?: readonly string[];
}

/** A Debian as its packages leave it, with what this image does about it. */
function examine({ cmdline, sysrq = '0', folders = {}, masked = [], running = [] }: Image): Promise<FindingResult[]> {
  const all: Record<string, readonly string[]> = {
    [GENERATORS]: [
      'systemd-fstab-generator',
      'systemd-getty-generator',
      'systemd-gpt-auto-generator',
      'systemd-ssh-generator',
    ],
    [RULES]: ['50-udev-default.rules', '60-persistent-storage.rules'],
    ...folders,
  };
  const has = (path: string) =>
    all[path.slice(0, path.lastIndexOf('/'))]?.includes(path.slice(path.lastIndexOf('/') + 1));
  const guest: Partial<GuestMachine> = {
    text: async (path) => ({ '/proc/cmdline': `${cmdline}\n`, '/proc/sys/kernel/sysrq': `${sysrq}\n` })[path],
    names: async (dir) => all[dir] ?? [],
    target: async (path) => (masked.includes(path) ? '/dev/null' : has(path) ? path : undefined),
    look: async () => ({ exit: 0, stdout: running.join('\n'), stderr: '' }),
  };
  return hostInputs(guest as GuestMachine);
}

const OFF = 'systemd.import_credentials=no systemd.gpt_auto=no systemd.ssh_auto=no systemd.getty_auto=0';

describe('host inputs', () => {
  it.each(['dev', 'prod'] as const)('finds nothing open in the %s image of the project', async (profile) => {
    const masked = (await readList('masked.list')).map((entry) => `/etc/systemd/${entry}`);
    const found = await examine({ cmdline: kernelCmdline(profile, 'a'.repeat(64), 4096), masked });
    expect(found).toEqual([{ status: 'ok', text: expect.any(String) }]);
  });

  it('finds everything open in an image that did nothing about it, with a hint for each', async () => {
    const found = await examine({ cmdline: 'console=ttyS0', sysrq: '438' });
    expect(found.map(({ status, text, advice }) => `${status}: ${text} -> ${advice}`)).toEqual([
      expect.stringMatching(/^failed: the host can set up systemd by credentials -> .*systemd\.import_credentials=no/),
      expect.stringMatching(/^failed: systemd-gpt-auto-generator .*-> link .* or put systemd\.gpt_auto=no/),
      expect.stringMatching(/^failed: systemd-ssh-generator .*-> .*systemd\.ssh_auto=no/),
      expect.stringMatching(/^failed: systemd-getty-generator .*-> .*systemd\.getty_auto=no/),
      expect.stringMatching(/^warning: .*SysRq key.*mask 438.* -> .*kernel\.sysrq=0/),
    ]);
  });

  it.each([
    ['words', OFF],
    ['words with an earlier one that says the opposite', `systemd.import_credentials=yes ${OFF}`],
  ])('is content with %s', async (_, cmdline) => {
    expect(await examine({ cmdline })).toMatchObject([{ status: 'ok' }]);
  });

  it('takes the last word, as systemd does', async () => {
    expect(await examine({ cmdline: `${OFF} systemd.import_credentials=yes` })).toMatchObject([
      { status: 'failed', text: 'the host can set up systemd by credentials' },
    ]);
  });

  it.each(['@system', '@encrypted'])('names credentials that were handed over (%s)', async (store) => {
    const folders = { [`/run/credentials/${store}`]: ['tmpfiles.extra', 'x\u001b[31m'] };
    expect(await examine({ cmdline: OFF, folders })).toMatchObject([
      { status: 'failed', text: 'PID 1 was handed the credentials tmpfiles.extra, x\\x1b[31m' },
    ]);
  });

  it('tells variables of the firmware that hold options from those that only could', async () => {
    const efivars = '/sys/firmware/efi/efivars';
    const of = (...names: string[]) => examine({ cmdline: OFF, folders: { [efivars]: names } });
    expect(await of('Boot0000-8be4df61-93ca-11d2-aa0d-00e098032b8c')).toMatchObject([
      { status: 'warning', advice: expect.stringContaining('efi=noruntime') },
    ]);
    expect(await of('SystemdOptions-8cf2644b-4b0b-428f-9387-6d876050dc67')).toMatchObject([
      { status: 'failed', text: expect.stringContaining('SystemdOptions') },
    ]);
  });

  it('believes a mask only where it hides the generator', async () => {
    const cmdline = OFF.replace('systemd.ssh_auto=no', '');
    const at = (dir: string) =>
      examine({ cmdline, masked: [`${dir}/systemd/system-generators/systemd-ssh-generator`] });
    expect(await at('/etc')).toMatchObject([{ status: 'ok' }]);
    expect(await at('/etc/elsewhere')).toMatchObject([{ status: 'failed' }]);
  });

  it.each([
    'serial-getty@hvc0.service',
    'console-getty.service',
    'debug-shell.service',
    'emergency.service',
    'sshd-vsock.socket',
  ])('names %s when it takes what the host types', async (unit) => {
    const running = [
      `${unit} loaded active running Something`,
      'getty@tty1.service masked inactive dead getty@tty1.service',
      'dstack-prepare.service loaded active exited Prepare',
    ];
    expect(await examine({ cmdline: OFF, running })).toMatchObject([
      { status: 'failed', text: `${unit} takes what the host types`, advice: expect.stringContaining(`mask ${unit}`) },
    ]);
  });

  it('names rules that assemble volumes, unless they are masked', async () => {
    const rules = ['69-lvm.rules', '64-md-raid-assembly.rules', '60-persistent-storage-dm.rules'];
    const folders = { [RULES]: rules };
    expect(await examine({ cmdline: OFF, folders })).toMatchObject([
      { status: 'warning', text: expect.stringMatching(/: 64-md-raid-assembly\.rules, 69-lvm\.rules$/) },
    ]);
    const masked = ['/etc/udev/rules.d/69-lvm.rules', '/etc/udev/rules.d/64-md-raid-assembly.rules'];
    expect(await examine({ cmdline: OFF, folders, masked })).toMatchObject([{ status: 'ok' }]);
  });
});
