/**
 * The official clients' recorded requests inside a guest: to the sockets that systemd hands to the agent, and to a second
 * agent of the same app on vsock, over the loopback of the guest. The expectations are those of the unit tests.
 */
import { readFileSync } from 'node:fs';
import { gunzipSync, gzipSync } from 'node:zlib';
import { expect } from 'vitest';
import { tar } from '../../initramfs/demo/tar.ts';
import type { Machine } from '../../initramfs/vm/machine.ts';
import { ATTACKS, VICTIMS } from '../conformance/attacks.ts';
import { judgeAttack } from '../conformance/listener-suite.ts';
import { type Facts, judge } from '../conformance/meanings.ts';
import { RECORDED, type Recorded } from '../conformance/recorded.ts';

/** where socat finds the two sockets of the app */
type Where = Readonly<Record<Recorded['socket'], string>>;

const INHERITED: Where = { dstack: 'UNIX-CONNECT:/run/dstack.sock', tappd: 'UNIX-CONNECT:/run/tappd.sock' };
const VSOCK: Where = { dstack: 'VSOCK-CONNECT:1:9001', tappd: 'VSOCK-CONNECT:1:9002' };

const SECOND = '/run/second-agent';
const SECOND_CONFIG = {
  default: { core: { scoped_sockets: `${SECOND}/scoped` } },
  internal: { address: 'vsock:4294967295', port: 9001 },
  'internal-v0': { address: 'vsock:4294967295', port: 9002 },
  external: { address: '127.0.0.1', port: 9003 },
  'guest-api': { address: `unix:${SECOND}/guest.sock` },
};

/** requests that travel together */
const AT_ONCE = 32;

/**
 * Sends each of these bytes on a connection of its own, one program a request: each costs a guest a tenth of a second.
 * @returns everything that came back on each
 */
async function exchangeAll(vm: Machine, asked: readonly { to: string; bytes: Uint8Array }[]): Promise<Buffer[]> {
  const answers: Buffer[] = [];
  for (let at = 0; at < asked.length; at += AT_ONCE) {
    const some = asked.slice(at, at + AT_ONCE);
    const name = (index: number) => String(index).padStart(3, '0');
    const files = some.map(
      ({ bytes }, index) => ({ path: name(index), type: 'file', mode: 0o600, data: bytes }) as const,
    );
    const packed = gzipSync(tar(files, 0)).toString('base64');
    const sent = some.map(({ to }, index) => `socat -t 60 - ${to} <${name(index)} >${name(index)}.out`);
    const script = [
      'dir=$(mktemp -d) && cd "$dir" || exit 1',
      `base64 -d <<<${packed} | tar xz`,
      ...sent,
      'stat -c %s ???.out',
      'cat ???.out | gzip | base64 -w0',
      'rm -r "$dir"',
    ];
    const lines = (await vm.ok(script.join('\n'), { timeoutMs: 240_000 })).split('\n');
    const all = gunzipSync(Buffer.from(lines.pop() ?? '', 'base64'));
    expect(lines).toHaveLength(some.length);
    let from = 0;
    for (const length of lines.map(Number)) {
      answers.push(all.subarray(from, from + length));
      from += length;
    }
  }
  return answers;
}

/** What is known of this guest from its own files and from the host's side. */
async function factsOf(vm: Machine, known: Pick<Facts, 'appId' | 'instanceId' | 'composeText'>): Promise<Facts> {
  const { vm_config: vmConfig } = JSON.parse(await vm.ok('cat /dstack/.host-shared/.sys-config.json'));
  const { version } = JSON.parse(readFileSync('package.json', 'utf8'));
  return { ...known, version, vmConfig, keys: Buffer.from(await vm.ok('cat /dstack/.host-shared/.appkeys.json')) };
}

/** Every recorded request over inherited sockets and vsock, and the hostile counterparts of one of them over vsock. */
export async function checkRecorded(
  vm: Machine,
  known: Pick<Facts, 'appId' | 'instanceId' | 'composeText'>,
): Promise<void> {
  const facts = await factsOf(vm, known);
  const failures: string[] = []; // all of them: a boot is too dear for one
  const tried = (what: string, judgement: () => void): void => {
    try {
      judgement();
    } catch (thrown) {
      failures.push(`${what}: ${thrown instanceof Error ? thrown.message : thrown}`);
    }
  };
  const config = Buffer.from(JSON.stringify(SECOND_CONFIG)).toString('base64');
  await vm.ok(`modprobe vsock_loopback; mkdir -p ${SECOND}; base64 -d <<<${config} >${SECOND}/agent.json`);
  await vm.ok(`systemd-run --collect --unit=second-agent dstack-util serve -c ${SECOND}/agent.json`);
  try {
    const info = RECORDED.find(({ method }) => method === 'Info') as Recorded;
    // its certificate is made after the start of an agent
    for (const { dstack: to } of [INHERITED, VSOCK])
      await expect
        .poll(async () => (await exchangeAll(vm, [{ to, bytes: info.bytes }]))[0]?.toString('latin1'), {
          timeout: 120_000,
          interval: 1000,
        })
        .toContain('BEGIN CERTIFICATE');
    for (const where of [INHERITED, VSOCK]) {
      const answers = await exchangeAll(
        vm,
        RECORDED.map(({ socket, bytes }) => ({ to: where[socket], bytes })),
      );
      for (const [i, recorded] of RECORDED.entries())
        tried(`${recorded.name} to ${where[recorded.socket]}`, () => judge(recorded, answers[i] as Buffer, facts));
    }
    const [victim] = VICTIMS as [Recorded];
    const attacked = ATTACKS.map((attack) => ({ to: VSOCK[victim.socket], bytes: attack.make(victim) }));
    const answers = await exchangeAll(vm, attacked);
    for (const [i, attack] of ATTACKS.entries())
      tried(attack.what, () => judgeAttack(attack, victim, answers[i] as Buffer, facts));
    expect(failures).toEqual([]);
  } finally {
    await vm.sh(`systemctl stop second-agent; rm -rf ${SECOND}`);
  }
}
