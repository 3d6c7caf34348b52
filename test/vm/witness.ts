/**
 * An app whose container writes down when it runs, on the data disk. It has the restart policy `always` and a pre-launch
 * script that takes its time: a dockerd that starts its containers by itself is faster.
 */
import { expect } from 'vitest';
import type { Machine } from '../../initramfs/vm/machine.ts';

const FOLDER = '/var/volatile/dstack/persistent/witness';
const IMAGE = 'witness:1';
/** Writes `<boot id> <seconds of uptime>`: a start of this boot is told from those of earlier ones. */
const NOW = "$(cat /proc/sys/kernel/random/boot_id) $(cut -d' ' -f1 /proc/uptime)";
/** an image without any file: the programs are those of the guest */
const COMPOSE = {
  services: {
    witness: {
      image: IMAGE,
      pull_policy: 'never',
      network_mode: 'none',
      restart: 'always',
      volumes: ['/usr:/usr:ro', '/lib:/lib:ro', '/lib64:/lib64:ro', `${FOLDER}:/witness`],
      entrypoint: ['/usr/bin/bash', '-c'],
      // compose takes a doubled dollar sign for one
      command: [`trap 'exit 0' TERM; echo "${NOW.replaceAll('$', '$$$$')}" >>/witness/ran; sleep infinity & wait`],
    },
  },
};

const PRE_LAUNCH = `mkdir -p ${FOLDER}
docker image inspect ${IMAGE} >/dev/null 2>&1 || head -c 10240 /dev/zero | docker import - ${IMAGE}
docker ps -q >${FOLDER}/running
sleep 1
echo "${NOW}" >>${FOLDER}/pre-launch
`;

export const WITNESS_APP = { docker_compose_file: JSON.stringify(COMPOSE), pre_launch_script: PRE_LAUNCH };

export interface Witness {
  /** when the container began to run, in seconds of uptime */
  readonly times: readonly number[];
  /** containers that ran when the pre-launch script began, the last time */
  readonly running: string;
  /** when that script ended, in seconds of uptime */
  readonly preLaunch: number;
  /** the container's restart policy now */
  readonly policy: string;
}

/** What happened in this boot later than `from` seconds of uptime, once the container has run. */
export async function ran(vm: Machine, from = 0): Promise<Witness> {
  const since = (file: string) =>
    `awk -v boot=$(cat /proc/sys/kernel/random/boot_id) '$1 == boot && $2 > ${from} {print $2}' ${FOLDER}/${file} | paste -sd' '`;
  const policy = "docker inspect -f '{{.HostConfig.RestartPolicy.Name}}' dstack-witness-1";
  const look = `${since('ran')}; ${since('pre-launch')}; paste -sd' ' ${FOLDER}/running; ${policy}`;
  let witness: Witness = { times: [], running: '', preLaunch: Number.NaN, policy: '' };
  // the container is started before its first program has come far
  await expect
    .poll(
      async () => {
        const [times = '', ends = '', running = '', name = ''] = (await vm.ok(look)).split('\n');
        const numbers = (text: string) => text.split(' ').filter(Boolean).map(Number);
        witness = { times: numbers(times), running, preLaunch: numbers(ends).at(-1) ?? Number.NaN, policy: name };
        return witness.times.length;
      },
      { timeout: 120_000, interval: 1000 },
    )
    .toBeGreaterThan(0);
  return witness;
}

/** What should have been there before the container ran for the first time, and was not. */
export async function overtaken(vm: Machine, { times: [first = 0], preLaunch }: Witness): Promise<string[]> {
  const since = async (unit: string) => {
    const show = `systemctl show -P ActiveState -P ActiveEnterTimestampMonotonic ${unit}`;
    const [state, microseconds] = (await vm.ok(show)).split('\n');
    return state === 'active' ? Number(microseconds) / 1e6 : Number.NaN;
  };
  const before = {
    'the measurements': await since('dstack-prepare.service'),
    'the guest agent': await since('dstack-guest-agent.service'),
    'the pre-launch script': preLaunch,
  };
  return Object.entries(before).flatMap(([name, time]) => (first > time ? [] : [name]));
}

/**
 * The control: docker is started again as its own package starts it, without our order and with nothing held back.
 * @returns when that began, in seconds of uptime
 */
export async function startDockerPlainly(vm: Machine): Promise<number> {
  const order = '/run/systemd/system/docker.service.d/10-dstack.conf';
  const script = [
    'systemctl stop app-compose.service docker.socket docker.service dstack-guest-agent.service',
    `mkdir -p ${order.slice(0, order.lastIndexOf('/'))}; ln -s /dev/null ${order}; systemctl daemon-reload`,
    "cut -d' ' -f1 /proc/uptime",
    'systemctl start docker.service',
    `rm ${order}; systemctl daemon-reload`,
  ].join('\n');
  return Number(await vm.ok(script, { timeoutMs: 600_000 }));
}
