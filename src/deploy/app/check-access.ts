/** What containers can reach of the guest: its sockets, its files, its devices. In a guest these are the app's own secrets. */
import { posix } from 'node:path';
import { isObject } from '../../config/strict-json.ts';
import type { ComposeSource } from '../compose-file.ts';
import type { Findings } from './finding.ts';
import { bare, mountsOf, type ServiceFields, type ServiceMount, stringsOf } from './shape.ts';

/** Where compose looks from: relative paths begin here. */
const PROJECT = '/dstack';
/** Folders that hold the keys of the app and its decrypted environment. */
const KEYS = ['/dstack/.host-shared', '/var/volatile/dstack/.host-shared'];

const normal = (path: string): string => {
  const absolute = posix.resolve(PROJECT, path.replace(/^~(?=\/|$)/, '/root'));
  return absolute.replace(/^\/var\/run(?=\/|$)/, '/run');
};

const contains = (folder: string, path: string): boolean =>
  folder === '/' || path === folder || path.startsWith(`${folder}/`);

/** @param sockets paths of `agent_sockets` */
export function checkAccess({ services }: ComposeSource, findings: Findings, sockets: readonly string[] = []): void {
  for (const [name, service] of services) {
    const where = `services.${name}`;
    mountsOf(service['volumes']).forEach((mount, i) => {
      if (mount.kind === 'bind') checkMount(`${where}.volumes[${i}]`, mount, findings, sockets);
    });
    checkRights(where, service, findings);
  }
}

function checkMount(where: string, mount: ServiceMount, findings: Findings, sockets: readonly string[]): void {
  if (mount.fromVariable) {
    findings.add('warning', 'mount-variable', where, 'a variable decides which path of the guest this is');
    return;
  }
  const path = normal(mount.source);
  const keys = KEYS.find((folder) => contains(path, folder) || contains(folder, path));
  if (keys !== undefined) {
    const text = `the container can read the keys of the app and its decrypted environment, which are in ${keys}`;
    findings.add('warning', 'mount-keys', where, text, 'mount only what the service needs');
  } else if (path === '/run/docker.sock' || path === '/run' || path === '/run/containerd/containerd.sock') {
    const text = 'the container controls docker: it can start others, which the measurement does not cover';
    findings.add('warning', 'mount-docker', where, text, 'leave it out unless starting containers is its purpose');
  } else if (path === '/run/dstack.sock' || path === '/run/tappd.sock' || path === '/run/dstack') {
    const old = path.endsWith('tappd.sock') ? ' (the old interface; new programs use /var/run/dstack.sock)' : '';
    const text = `the container may ask the guest agent for every key and quote of the app${old}`;
    findings.add(
      'note',
      'mount-agent',
      where,
      text,
      'agent_sockets gives a container fewer rights: docs/scoped-sockets.md',
    );
  } else if (sockets.includes(path)) {
    findings.add('note', 'mount-agent', where, 'the container has what agent_sockets allows there');
  } else if (contains('/tapp', path)) {
    const text = '/tapp is the name that /dstack had in old guests, and is not there';
    findings.add('warning', 'mount-old', where, text, `write /dstack${path.slice('/tapp'.length)}`);
  } else if (!mount.source.startsWith('/')) relativeMount(where, mount, path, findings);
  else if (!/^\/(etc\/(localtime|timezone)|sys|proc|dev)(\/|$)/.test(path)) {
    findings.add('note', 'mount-guest', where, `${mount.source} is a path of the guest, not of your machine`);
  }
}

function relativeMount(where: string, mount: ServiceMount, path: string, findings: Findings): void {
  const file = /^(.+\.[a-z0-9]{1,5}|\.env)$/i.test(posix.basename(mount.target));
  if (!mount.creates || file) {
    const text = mount.creates
      ? `${mount.source} does not reach the guest: docker would make an empty folder where a file is meant`
      : `${mount.source} does not reach the guest, and docker refuses to mount what is not there`;
    findings.add(
      'refused',
      'mount-local',
      where,
      text,
      'write a file as configs: with content:, and data as a named volume',
    );
    return;
  }
  const text = `${mount.source} begins as an empty folder, ${path} of the guest: files beside the compose file stay at home`;
  findings.add(
    'warning',
    'mount-local',
    where,
    text,
    'use a named volume for data, and configs: with content: for files',
  );
}

function checkRights(where: string, service: ServiceFields, findings: Findings): void {
  const { privileged, network_mode: network, pid, cap_add: caps, devices, gpus, runtime, deploy, platform } = service;
  if (privileged === true || privileged === 'true') {
    const text =
      'the container may do what the guest itself may: read the keys of the app, load modules, measure events';
    findings.add('warning', 'privileged', `${where}.privileged`, text, 'cap_add and devices give single rights');
  }
  if (network === 'host') {
    const text = 'the container listens on the guest’s own ports, and reaches what listens on its loopback';
    findings.add('note', 'host-network', `${where}.network_mode`, text);
  }
  if (pid === 'host')
    findings.add('note', 'host-processes', `${where}.pid`, 'the container sees and may end the processes of the guest');
  const strong = stringsOf(caps).filter((cap) =>
    /^(CAP_)?(ALL|SYS_ADMIN|SYS_MODULE|SYS_PTRACE|SYS_RAWIO|DAC_READ_SEARCH)$/i.test(cap),
  );
  if (strong.length > 0)
    findings.add('warning', 'capabilities', `${where}.cap_add`, `${strong.join(', ')} leads out of the container`);
  const reserved = isObject(deploy) && isObject(deploy['resources']) ? deploy['resources']['reservations'] : undefined;
  const wantsGpu =
    gpus !== undefined ||
    runtime === 'nvidia' ||
    (isObject(reserved) && JSON.stringify(reserved['devices'] ?? '').includes('gpu'));
  if (wantsGpu) {
    const text = 'needs a GPU in the VM, and NVIDIA’s driver and container tools in the image';
    findings.add(
      'warning',
      'gpu',
      where,
      text,
      'deploy it on an image for GPUs; this project’s own image has none of them',
    );
  }
  for (const device of stringsOf(devices)) {
    const path = device.split(':')[0] ?? '';
    if (/\/(sgx|tdx_guest|tpm)/.test(path))
      findings.add('warning', 'device', `${where}.devices`, `${path} is the guest agent’s: ask the agent instead`);
  }
  const wanted = bare(platform);
  if (wanted !== '' && !/^linux\/(amd64|x86_64)/.test(wanted))
    findings.add('refused', 'platform', `${where}.platform`, `the guest is linux/amd64, not ${wanted}`);
}
