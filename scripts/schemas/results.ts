/** The form of every `--json` result of the product: command -> schema. docs/schemas has them as files. */
import { ERRORS } from '../../src/errors.ts';
import { count, flag, hex, list, object, oneOf, orNull, own, type Schema, text, time, told, words } from './words.ts';

const phases = list(text);
const appIds = { compose_hash: hex(32), app_id: hex(20), app_address: { type: 'string', pattern: '^0x[0-9a-f]{40}$' } };
const finding = object({
  level: words('refused', 'unpinned', 'warning', 'note'),
  rule: text,
  where: text,
  text,
  'fix?': text,
});
const service = object({
  service: text,
  container: text,
  image: text,
  state: text,
  health: text,
  exit_code: { type: 'integer' },
  restarts: count,
  verdict: text,
  'stage?': text,
  'words?': text,
});
const phaseRecord = object({
  sequence: text,
  phase: text,
  start: time,
  duration_ms: { type: 'number', minimum: 0 },
  'cpu_ms?': { type: 'number', minimum: 0 },
  events: list(object({ name: text, digest: text })),
  outcome: words('done', 'skipped', 'failed'),
  'notes?': list(text),
  'error?': text,
});
const boot = object({
  phases: list(phaseRecord),
  totals_ms: { type: 'object', additionalProperties: { type: 'number', minimum: 0 } },
});
const partition = object({ disk: text, number: count, label: text });
const content = object({
  kind: words('zfs', 'ext4', 'blank', 'luks', 'unknown'),
  'uuid?': text,
  'seen?': text,
  'foreign?': flag,
  'table?': flag,
});
const system = object({
  os_image_hash: orNull(hex(32)),
  mrtd: hex(48),
  rtmr0: orNull(hex(48)),
  rtmr1: orNull(hex(48)),
  rtmr2: orNull(hex(48)),
  events: list(object({ register: count, event: text, type: count, digest: orNull(hex(48)), depends_on: list(text) })),
  unknown: list(object({ event: text, why: text })),
  assumed: list(text),
});
/** An event as event logs of the platform have it. */
const logEvent = object({ imr: count, event_type: count, digest: text, event: text, event_payload: text });
const identity = {
  app_id: hex(),
  compose_hash: hex(),
  instance_id: hex(),
  device_id: hex(),
  mr_system: hex(),
  mr_aggregated: hex(),
  os_image_hash: hex(),
  key_provider_info: hex(),
  init_script_hashes: list(hex()),
};

const part = { state: words('proven', 'not proven', 'contradicted'), why: text };
const root = object({ name: text, sha256: hex(32), intel: flag });

/** Ours: each has `version`. */
export const OWN: Readonly<Record<string, Schema>> = {
  error: own({
    error: object({
      code: words(...Object.keys(ERRORS)),
      message: text,
      'path?': text,
      'field?': text,
      'value?': told({}, 'what was given, as far as it is no secret'),
      hint: text,
      chain: told(text, 'the message with its causes, outermost first'),
    }),
  }),
  'app-check': own({
    file: text,
    kind: words('app-compose', 'docker-compose'),
    ...Object.fromEntries(Object.entries(appIds).map(([name, schema]) => [`${name}?`, schema])),
    'image?': object({ version: text, docker_compose: orNull(text) }),
    refused: flag,
    unpinned: count,
    findings: list(finding),
  }),
  'app-hash': own({ ...appIds, name: text, bytes: count, normalized: flag, normalized_hash: hex(32) }),
  'app-init': own({
    file: told(orNull(text), 'null: not written'),
    ...appIds,
    allowed_envs: list(text),
    images: list(object({ where: text, image: text, pinned: flag, suggestion: orNull(text) })),
    pinned: list(text),
    refused: flag,
    findings: list(finding),
  }),
  'attest-info': own({
    attestation_version: words('V0', 'V1'),
    file: text,
    total_bytes: count,
    mode: text,
    config_bytes: count,
    tdx_quote_bytes: count,
    event_log_entries: count,
    event_log_json_bytes: count,
    tpm_quote_bytes: count,
    'platform?': text,
    'stack?': text,
    'report_data?': hex(64),
    'runtime_events?': text,
    'replayed_rtmr3?': hex(48),
    'quoted_rtmr3?': text,
  }),
  'boot-failed': own({
    action: words('restart', 'stop'),
    'restart?': count,
    'why?': text,
    'phase?': text,
    text,
    'code?': text,
    device: orNull(text),
  }),
  'deploy-hold': own({
    held: list(object({ id: text, service: text, policy: object({ name: text, maximum_retry_count: count }) })),
  }),
  'deploy-start': own({ sequence: words('deploy'), runner: text, phases }),
  'deploy-start-plan': own({
    sequence: words('deploy'),
    phases,
    app: object({
      runner: text,
      dir: text,
      scripts: list(object({ name: text, sha256: hex(32), bytes: count })),
      'compose_sha256?': hex(32),
      variables: list(text),
      services: list(object({ service: text, image: text, built: flag })),
      loose: list(object({ service: text, image: text, fix: text })),
    }),
  }),
  'deploy-status': own({ runner: text, services: list(service) }),
  'deploy-stop': own({ sequence: words('stop'), runner: text }),
  'deploy-stop-plan': own({ sequence: words('stop'), phases }),
  'derive-key': own({ key: hex(32), public_key: hex(), signature_chain: list(hex()) }),
  doctor: own({
    healthy: flag,
    findings: list(object({ check: text, status: words('ok', 'warning', 'failed', 'skipped'), text, 'advice?': text })),
  }),
  'env-check': own({ 'bytes?': count, variables: list(object({ key: text, bytes: count })) }),
  'env-encrypt': own({
    file: told(orNull(text), 'null: the encrypted environment is in this document'),
    bytes: count,
    'encrypted?': hex(),
    variables: list(object({ key: text, bytes: count })),
  }),
  'fde-check-header': own({
    header_size: count,
    uuid: text,
    sequence: count,
    keyslot_offset: count,
    keyslot_size: count,
    iterations: count,
  }),
  'fde-status': own({
    device: text,
    size: count,
    partition: orNull(partition),
    mark: orNull(object({ initialising: flag, ephemeral: flag, uuid: text })),
    content,
    header: orNull(
      object({
        accepted: flag,
        uuid: orNull(text),
        key_slots: orNull(count),
        iterations: orNull(count),
        rule: orNull(text),
        reason: orNull(text),
      }),
    ),
    mapper: orNull(text),
    file_system: text,
    mount_points: list(text),
  }),
  'fde-volumes-list': own({ volumes: list(object({ root: hex(32), data: text, hash: text })) }),
  'fde-volumes-status': own({
    volumes: list(object({ index: count, source: text, root: hex(32), target: text, attached: flag, active: flag })),
  }),
  measure: own({
    'compose_hash?': hex(32),
    'app_id?': hex(20),
    'event_log_version?': count,
    'rtmr3?': orNull(hex(48)),
    'rtmr3_boot_mr_done?': orNull(hex(48)),
    'events?': list(object({ event: text, payload: orNull(hex()), digest: orNull(hex(48)), rtmr3: orNull(hex(48)) })),
    'unknown?': list(object({ event: text, why: text })),
    'assumed?': list(text),
    'system?': system,
  }),
  plan: own({ sequence: text, phases: list(oneOf(text, list(text))), 'handover?': list(oneOf(text, list(text))) }),
  prepare: own({
    device: text,
    phases: list(object({ sequence: text, n: count, of: count, name: text, ms: { type: 'number' } })),
  }),
  'remove-orphans': own({ dry_run: flag, orphans: list(object({ id: text, service: text })) }),
  'replay-imr': own({
    total_events: count,
    registers: list(object({ imr: { enum: [0, 1, 2, 3] }, events: count, value: hex(48) })),
  }),
  'rtmr-extend': own({ event: text, payload: hex(), event_version: { enum: [1, 2] }, digest: hex(48) }),
  verify: own({
    verdict: words('valid', 'invalid', 'unchecked'),
    proof: object({
      machine: object({ ...part, root }),
      system: object(part),
      app: object({ ...part, conditional: flag }),
      fresh: object(part),
    }),
    not_proven: list(text),
    input: object({ kind: orNull(text), form: orNull(text), bytes: count }),
    at: time,
    root_ca: root,
    'collateral?': object({ source: text, valid_until: time }),
    'tcb?': object({ status: text, advisory_ids: list(text) }),
    checks: list(
      object({
        part: words('input', 'machine', 'system', 'app', 'fresh'),
        name: text,
        outcome: words('pass', 'fail', 'unknown', 'note'),
        detail: text,
      }),
    ),
    first_drift: orNull(text),
    system: orNull(
      object({
        verdict: text,
        reference: object({ kind: text, name: text }),
        os_image_hash: orNull(hex(32)),
        first_drift: orNull(
          object({ register: text, index: count, event: text, found: text, expected: text, cause: text }),
        ),
        acpi: orNull(object({ loader: hex(48), rsdp: hex(48), tables: hex(48) })),
        assumed: list(text),
      }),
    ),
    'registers?': object(
      Object.fromEntries(
        [...'mrtd rtmr0 rtmr1 rtmr2 rtmr3 mr_config_id mr_owner mr_owner_config mr_seam'.split(' ')]
          .map((name): [string, Schema] => [name, hex(48)])
          .concat([
            ['td_attributes', hex(8)],
            ['report_data', hex(64)],
          ]),
      ),
    ),
    'identity?': object({
      ...identity,
      device_id: orNull(hex()),
      key_provider: orNull(object({ name: text, id: text })),
    }),
    events: list(
      object({
        index: count,
        event: text,
        version: { enum: [1, 2] },
        payload: hex(),
        digest: hex(48),
        rtmr3: hex(48),
        state: words('pinned', 'known', 'app', 'drift'),
        'why?': text,
      }),
    ),
    firmware_events: list(
      object({
        register: { enum: [0, 1, 2] },
        index: count,
        event: text,
        type: text,
        digest: hex(48),
        value: hex(48),
        state: words('expected', 'host', 'drift', 'open'),
        'why?': text,
      }),
    ),
  }),
  timeline: own({ current: boot, previous: boot }),
};

/** Defined by the platform's own tools: printed byte for byte as they print them, so without `version` of ours. */
export const FOREIGN: Readonly<Record<string, Schema>> = {
  'attest-json': oneOf(
    object({ version: words('V0'), mode: text, config: text, tdx_quote: orNull({}), tpm_quote: orNull({}) }),
    object({
      version: { const: 1 },
      platform: object({ kind: text, data: {} }),
      stack: object({ kind: text, data: {} }),
    }),
  ),
  eventlog: list(logEvent),
  'quote-report': object({ attestation: hex() }),
  show: object(identity),
};
