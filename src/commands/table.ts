/**
 * The list of subcommands. Only the module of the command that was asked for is loaded: start-up time is a feature.
 */
import type { CommandEntry } from './command-entry.ts';

const inGroup = (group: string, entries: readonly Omit<CommandEntry, 'group'>[]): CommandEntry[] =>
  entries.map((entry) => ({ ...entry, group }));

export const COMMANDS: readonly CommandEntry[] = [
  ...inGroup('Boot', [
    {
      name: 'prepare',
      summary: 'prepare the system: overlays, clock, TEE device, data disk',
      load: () => import('./prepare.ts'),
    },
    {
      name: 'setup',
      summary: 'measure the app, get its keys, open the data disk, write its environment',
      secrets: true,
      load: () => import('./setup.ts'),
    },
    { name: 'deploy', summary: 'start or stop the containers of the app', load: () => import('./deploy.ts') },
    {
      name: 'remove-orphans',
      summary: 'remove containers of services that the app no longer has',
      load: () => import('./remove-orphans.ts'),
    },
    {
      name: 'boot-failed',
      summary: 'restart or stop this machine after a failed boot',
      load: () => import('./boot-failed.ts'),
    },
    { name: 'host-shared', summary: 'mount or unmount the host share', load: () => import('./host-shared.ts') },
    { name: 'notify-host', summary: 'send an event to the host', load: () => import('./notify-host.ts') },
  ]),
  ...inGroup('Services', [
    {
      name: 'serve',
      summary: 'run the guest agent: keys, quotes, logs, dashboard',
      secrets: true,
      load: () => import('./serve.ts'),
    },
    {
      name: 'docker-view',
      summary: 'show the guest agent what docker says about containers, and nothing else',
      load: () => import('./docker-view.ts'),
    },
    {
      name: 'gateway-checker',
      summary: 'keep the registration with the gateway alive',
      secrets: true,
      load: () => import('./gateway-checker.ts'),
    },
    {
      name: 'gateway-refresh',
      summary: 'register with the gateway once',
      secrets: true,
      load: () => import('./gateway-refresh.ts'),
    },
  ]),
  ...inGroup('Disk', [
    {
      name: 'fde',
      summary: 'look at, format, open or close the encrypted data disk',
      secrets: true,
      load: () => import('./fde.ts'),
    },
  ]),
  ...inGroup('App', [
    {
      name: 'app',
      summary: 'make an app-compose.json from a compose file, and check it',
      load: () => import('./app.ts'),
    },
  ]),
  ...inGroup('Evidence', [
    { name: 'quote', summary: 'take a quote for 64 bytes of report data', load: () => import('./quote.ts') },
    {
      name: 'attest',
      summary: 'take an attestation: quote, event log and vm_config',
      load: () => import('./attest.ts'),
    },
    { name: 'attest-info', summary: 'show what an attestation is made of', load: () => import('./attest-info.ts') },
    { name: 'attest-json', summary: 'print an attestation as JSON', load: () => import('./attest-json.ts') },
    {
      name: 'attest-strip',
      summary: 'shorten an attestation to the form that certificates carry',
      load: () => import('./attest-strip.ts'),
    },
    {
      name: 'quote-report',
      summary: 'take an attestation, in the form that the verifier service reads',
      load: () => import('./quote-report.ts'),
    },
    {
      name: 'rtmr-extend',
      alias: 'extend',
      summary: 'measure a runtime event into RTMR3',
      load: () => import('./rtmr-extend.ts'),
    },
    { name: 'eventlog', summary: 'print the complete event log', load: () => import('./eventlog.ts') },
    { name: 'replay-imr', summary: 'replay the event log into its registers', load: () => import('./replay-imr.ts') },
    { name: 'show', summary: 'print the identity of this app', load: () => import('./show.ts') },
    {
      name: 'measure',
      summary: 'predict what an app and the system below it measure, without booting them',
      load: () => import('./measure.ts'),
    },
    {
      name: 'verify',
      summary: 'verify the evidence of a guest: quote, answer, attestation or certificate',
      load: () => import('./verify.ts'),
    },
  ]),
  ...inGroup('Keys and environment', [
    {
      name: 'derive-key',
      summary: 'derive an application key as GetKey does',
      secrets: true,
      load: () => import('./derive-key.ts'),
    },
    {
      name: 'get-keys',
      summary: 'get the keys of this app from a KMS',
      secrets: true,
      load: () => import('./get-keys.ts'),
    },
    {
      name: 'gen-ra-cert',
      summary: 'make a client certificate with evidence inside',
      secrets: true,
      load: () => import('./gen-ra-cert.ts'),
    },
    {
      name: 'gen-ca-cert',
      summary: 'make a certificate authority with evidence inside',
      secrets: true,
      load: () => import('./gen-ca-cert.ts'),
    },
    {
      name: 'gen-app-keys',
      summary: 'make random keys for an app',
      secrets: true,
      load: () => import('./gen-app-keys.ts'),
    },
    {
      name: 'env',
      summary: 'encrypt or check the environment of an app',
      secrets: true,
      load: () => import('./env.ts'),
    },
  ]),
  ...inGroup('This machine', [
    {
      name: 'timeline',
      summary: 'show how long each step of this boot took',
      load: () => import('./timeline.ts'),
    },
    {
      name: 'doctor',
      summary: 'check an installed guest and say what to do',
      load: () => import('./doctor.ts'),
    },
  ]),
  ...inGroup('Tools', [
    { name: 'hex', summary: 'print bytes as hex', load: () => import('./hex.ts') },
    { name: 'rand', summary: 'print random bytes', load: () => import('./rand.ts') },
    {
      name: 'completion',
      summary: 'print the completion script of a shell',
      load: () => import('./completion.ts'),
    },
  ]),
];
