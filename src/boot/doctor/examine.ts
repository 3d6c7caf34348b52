/** The checks of `doctor`: each looks at one part of an installed guest and says what to do about what it found. */
import { toHex } from '../../codec/hex.ts';
import { PATHS } from '../../config/paths.ts';
import { errorChain, toDstackError } from '../../errors.ts';
import { replayRuntime } from '../../tdx/replay.ts';
import * as ui from '../../ui.ts';
import { type Certificate, parsePemChain } from '../../x509/x509.ts';
import { type Finding, type FindingResult, failed, ok, skipped, warning } from './finding.ts';
import { type GuestMachine, SOCKETS } from './guest-machine.ts';
import { hostInputs } from './host-inputs.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
/** WireGuard renews its keys every 2 minutes while there is traffic; keep-alive is traffic (WireGuard protocol). */
const HANDSHAKE_OLD_MS = 3 * 60_000;
const GATEWAY_CONFIG = '/etc/wireguard/dstack-wg0.conf';
const INTERFACE = 'dstack-wg0';

const UNITS = [
  'dstack-prepare.service',
  'dstack-guest-agent.socket',
  'dstack-guest-agent.service',
  'docker.service',
  'app-compose.service',
] as const;

const checks: readonly { name: string; run(guest: GuestMachine): Promise<FindingResult | FindingResult[]> }[] = [
  { name: 'TEE device', run: async (guest) => ok(await guest.tee()) },
  { name: 'host inputs', run: hostInputs },
  { name: 'event log and RTMR3', run: registerAgainstLog },
  { name: 'data disk', run: dataDisk },
  { name: 'free space', run: freeSpace },
  { name: 'clock', run: clock },
  { name: 'certificate', run: certificate },
  { name: 'units', run: units },
  { name: 'agent', run: agent },
  { name: 'containers', run: containers },
  { name: 'app health', run: appHealth },
  { name: 'gateway', run: gateway },
];

/** Runs all checks one after the other; a check that cannot look is a finding too, and never stops the others. */
export async function examine(guest: GuestMachine): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const { name, run } of checks) {
    let outcomes: FindingResult | FindingResult[];
    try {
      outcomes = await run(guest);
    } catch (thrown) {
      const failure = toDstackError(thrown);
      outcomes = failed(ui.printable(`${errorChain(thrown)} [${failure.code}]`), failure.hint);
    }
    findings.push(...[outcomes].flat().map((outcome) => ({ check: name, ...outcome })));
  }
  return findings;
}

async function registerAgainstLog(guest: GuestMachine): Promise<FindingResult> {
  const events = await guest.events();
  const replayed = toHex(replayRuntime(events));
  const register = toHex(await guest.rtmr3());
  const names = new Set(events.map(({ event }) => event));
  if (replayed !== register) {
    return failed(
      `the log of ${events.length} events replays to ${replayed.slice(0, 16)}…, the register holds ${register.slice(0, 16)}…`,
      'no verifier will accept this guest: boot it again; if it comes back, something outside dstack-util extends RTMR3',
    );
  }
  if (!names.has('system-ready'))
    return warning(
      `${events.length} events, but no system-ready`,
      'the boot is not over, or it failed: see dstack-util timeline',
    );
  return ok(`${events.length} events replay to ${register.slice(0, 16)}…`);
}

async function dataDisk(guest: GuestMachine): Promise<FindingResult> {
  const disk = await guest.disk();
  const where = `${disk.device}${disk.fileSystem === '' ? '' : `, ${disk.fileSystem}`}`;
  if (disk.header?.accepted === false)
    return failed(
      `${where}: ${disk.header.reason}`,
      'the host has changed the LUKS header: do not use this disk, restore it from a backup',
    );
  if (!disk.mountPoints.includes(PATHS.dataMount))
    return failed(
      `${where}: not mounted on ${PATHS.dataMount}`,
      'see why it did not open: journalctl -u dstack-prepare',
    );
  if (disk.header === null)
    return warning(
      `${where}: not encrypted`,
      'the application chose storage_encrypted=false; the event log says so too',
    );
  return ok(`${where}, encrypted, mounted on ${PATHS.dataMount}`);
}

async function freeSpace(guest: GuestMachine): Promise<FindingResult> {
  const used = await guest.used(PATHS.dataMount);
  if (used === undefined) return skipped('there is no data disk');
  const text = `${Math.round(used * 100)} % of the data disk in use`;
  const advice = 'remove images and volumes, or let the host enlarge the disk: it grows at the next boot';
  if (used >= 0.98) return failed(text, advice);
  return used >= 0.9 ? warning(text, advice) : ok(text);
}

/** `chronyc -c tracking`: fields 5 = system time offset in seconds, 14 = leap status (chronyc(1)). */
async function clock(guest: GuestMachine): Promise<FindingResult> {
  const { exit, stdout } = await guest.look('chronyc', ['-c', 'tracking']);
  const advice = 'name servers with dstack.nts on the kernel command line of the image and see that they are reachable';
  if (exit !== 0) return warning('chronyd does not answer', 'systemctl status chrony');
  const fields = stdout.trim().split(',');
  const offset = Number(fields[4]);
  if (fields[13] !== 'Normal' || !Number.isFinite(offset))
    return warning('not synchronised with any time source', advice);
  const text = `off by ${(Math.abs(offset) * 1000).toFixed(1)} ms`;
  return Math.abs(offset) > 0.1 ? warning(text, advice) : ok(text);
}

async function certificate(guest: GuestMachine): Promise<FindingResult> {
  const pem = await guest.caCert();
  if (pem === undefined) return skipped('no keys yet');
  const [{ notAfter, commonName }] = parsePemChain(pem) as [Certificate];
  const left = notAfter - guest.now();
  const text = `CA of the app (CN=${ui.printable(commonName)}) until ${new Date(notAfter).toISOString().slice(0, 10)}`;
  if (left < 0) return failed(`${text}: expired`, 'boot again: a new certificate is made with the keys');
  return left < 7 * DAY
    ? warning(text, 'boot again within the week: a new certificate is made with the keys')
    : ok(text);
}

async function units(guest: GuestMachine): Promise<FindingResult[]> {
  const { exit, stdout, stderr } = await guest.look('systemctl', [
    'show',
    '--property=Id,LoadState,ActiveState,Result,NRestarts',
    ...UNITS,
  ]);
  if (exit !== 0)
    return [
      failed(`systemctl: ${ui.printable(stderr.trim().split('\n')[0] ?? '')}`, 'this guest does not run systemd'),
    ];
  const found: FindingResult[] = [];
  for (const block of stdout.trim().split('\n\n')) {
    const of = new Map(
      block.split('\n').map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
    );
    const name = of.get('Id') ?? '?';
    const restarts = Number(of.get('NRestarts') ?? 0);
    if (of.get('LoadState') === 'not-found')
      found.push(failed(`${name} is not installed`, 'install the units of dstack-util in the image'));
    else if (of.get('ActiveState') === 'activating')
      found.push(warning(`${name} is still starting`, `journalctl -u ${name}`));
    else if (of.get('ActiveState') !== 'active')
      found.push(
        failed(
          `${name} is ${of.get('ActiveState') ?? 'unknown'} (${of.get('Result') ?? '?'})`,
          `journalctl -u ${name}`,
        ),
      );
    else if (restarts > 0) found.push(warning(`${name} was restarted ${restarts} times`, `journalctl -u ${name}`));
  }
  return found.length > 0 ? found : [ok(`${UNITS.length} units are active`)];
}

async function agent(guest: GuestMachine): Promise<FindingResult> {
  const silent: string[] = [];
  for (const { path, method } of SOCKETS)
    await guest.call(path, method).catch((thrown: unknown) => silent.push(`${path}: ${errorChain(thrown)}`));
  return silent.length === 0
    ? ok('both sockets answer')
    : failed(ui.printable(silent.join('; ')), 'journalctl -u dstack-guest-agent; curl http://127.0.0.1:8090/readyz');
}

async function containers(guest: GuestMachine): Promise<FindingResult> {
  const all = await guest.containers();
  const name = (names: readonly string[]) => ui.printable(names[0]?.replace(/^\//, '') ?? '?');
  const ill = all.filter(({ State, Status }) => State !== 'running' || Status.includes('(unhealthy)'));
  if (all.length === 0)
    return warning('there are no containers', 'dstack-util deploy status; journalctl -u app-compose');
  if (ill.length === 0) return ok(`${all.length} running`);
  return warning(
    ill.map(({ Names, Status }) => `${name(Names)}: ${ui.printable(Status)}`).join('; '),
    'docker logs NAME, or the agent’s page; a container that did its work and ended is fine',
  );
}

async function appHealth(guest: GuestMachine): Promise<FindingResult> {
  const health = await guest.health();
  if (health === null) return skipped('the application does not ask for health checks');
  if (health.healthy) return ok('healthy');
  const why = health.error || health.unhealthy.map(({ name, status }) => `${name}: ${status}`).join('; ');
  return warning(
    `no gateway sends traffic here: ${ui.printable(why)}`,
    'docs/agent.md, health of the app; docker inspect NAME, or the health_status_file',
  );
}

async function gateway(guest: GuestMachine): Promise<FindingResult> {
  if ((await guest.text(GATEWAY_CONFIG)) === undefined) return skipped('the application does not use one');
  const { exit, stdout, stderr } = await guest.look('wg', ['show', INTERFACE, 'latest-handshakes']);
  const advice = 'dstack-util gateway-refresh --force; journalctl -u dstack-gateway-checker';
  if (exit !== 0) return failed(`${INTERFACE}: ${ui.printable(stderr.trim().split('\n')[0] ?? '')}`, advice);
  const latest =
    Math.max(
      0,
      ...stdout
        .trim()
        .split('\n')
        .map((line) => Number(line.split('\t')[1] ?? 0)),
    ) * 1000;
  if (!(latest > 0)) return failed('there was no handshake with any gateway', advice);
  const age = guest.now() - latest;
  const text = `last handshake ${ui.duration(Math.max(0, age))} ago`;
  return age > HANDSHAKE_OLD_MS ? warning(text, advice) : ok(text);
}
