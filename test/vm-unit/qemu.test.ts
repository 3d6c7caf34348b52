import { describe, expect, it } from 'vitest';
import { type QemuConfig, qemuArgv } from '../../initramfs/vm/qemu.ts';

const config: QemuConfig = {
  accelerator: 'tcg',
  cpus: 2,
  memoryMiB: 2048,
  kernel: '/k',
  initrd: '/i',
  cmdline: 'console=ttyS0 a=b',
  disks: [{ file: '/root.img', readOnly: true }, { file: '/odd,name.img' }],
  forwards: [
    { guest: 8090, host: 18090 },
    { guest: 8080, host: 8080 },
  ],
  network: 'host',
  sockets: { qmp: '/s/qmp', shell: '/s/shell', hostApi: '/s/host-api' },
};

/** the value behind an option that appears once */
const optionOf = (argv: string[], option: string): string => argv[argv.indexOf(option) + 1] ?? '';

describe('qemuArgv', () => {
  it('gives the disks fixed slots in the order of their guest names, read-only where asked, commas doubled', () => {
    const argv = qemuArgv(config);
    expect(argv.filter((word) => word.startsWith('if=none'))).toEqual([
      'if=none,id=disk0,file=/root.img,format=raw,readonly=on',
      'if=none,id=disk1,file=/odd,,name.img,format=raw,cache=unsafe,discard=unmap',
    ]);
    expect(argv.filter((word) => word.startsWith('virtio-blk-pci'))).toEqual([
      'virtio-blk-pci,drive=disk0,addr=0x4',
      'virtio-blk-pci,drive=disk1,addr=0x5',
    ]);
  });

  it('lets the guest reach the host API and nothing else, and only 127.0.0.1 reach the guest', () => {
    const net = optionOf(qemuArgv(config), '-netdev');
    expect(net).toBe(
      'user,id=net0,ipv6=off,restrict=on,hostfwd=tcp:127.0.0.1:18090-:8090,hostfwd=tcp:127.0.0.1:8080-:8080,' +
        'guestfwd=tcp:10.0.2.100:80-cmd:socat STDIO UNIX-CONNECT:/s/host-api',
    );
    expect(optionOf(qemuArgv({ ...config, network: 'open' }), '-netdev')).toContain('restrict=off');
    const services = [{ address: '10.0.2.101', port: 443, host: 40123 }];
    expect(optionOf(qemuArgv({ ...config, services }), '-netdev')).toBe(
      `${net},guestfwd=tcp:10.0.2.101:443-cmd:socat STDIO TCP:127.0.0.1:40123`,
    );
  });

  it('hands over what a hostile host adds, and nothing else changes', () => {
    const hostile = ['-smbios', 'type=11,value=a,,b'];
    expect(qemuArgv({ ...config, hostile })).toEqual([...qemuArgv(config), ...hostile]);
  });

  it('uses KVM with the host processor or tuned software emulation', () => {
    expect(optionOf(qemuArgv(config), '-accel')).toBe('tcg,thread=multi,tb-size=512');
    const kvm = qemuArgv({ ...config, accelerator: 'kvm' });
    expect([optionOf(kvm, '-accel'), optionOf(kvm, '-cpu')]).toEqual(['kvm', 'host']);
  });

  it('shares the memory of the guest with a vsock device, and with nothing else', () => {
    expect(qemuArgv(config).join(' ')).not.toMatch(/vsock|memfd/);
    const argv = qemuArgv({ ...config, vsock: '/s/odd,vhost' });
    expect(argv).toContain('memory-backend-memfd,id=memory,size=2048M,share=on');
    expect(argv).toContain('memory-backend=memory');
    expect(argv).toContain('socket,id=vsock,path=/s/odd,,vhost');
    expect(argv).toContain('vhost-user-vsock-pci,chardev=vsock');
  });

  it('shows a folder as the 9p share only when asked', () => {
    expect(qemuArgv(config)).not.toContain('-virtfs');
    expect(optionOf(qemuArgv({ ...config, share9p: '/share' }), '-virtfs')).toBe(
      'local,path=/share,mount_tag=host-shared,security_model=none,readonly=on',
    );
  });

  it('gives a machine that can be frozen its first disk and free slots for the others, the same in each life', () => {
    const before = qemuArgv({ ...config, disks: config.disks.slice(0, 1), freezable: true });
    const after = qemuArgv({ ...config, freezable: true, frozen: '/f' });
    expect(after).toEqual([...before.slice(0, -14), ...['-incoming', 'file:/f'], ...before.slice(-14)]);
    expect(before.filter((word) => word.startsWith('virtio-blk-pci'))).toEqual(['virtio-blk-pci,drive=disk0,addr=0x4']);
    expect(before.filter((word) => word.startsWith('pcie-root-port'))).toHaveLength(7);
    expect(before).toContain('pcie-root-port,id=port7,chassis=7,addr=0xb');
  });

  it('refuses more disks than it has slots for', () => {
    expect(() => qemuArgv({ ...config, disks: Array.from({ length: 9 }, () => ({ file: '/x' })) })).toThrow(/8 disks/);
  });
});
