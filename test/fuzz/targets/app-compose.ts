/** app-compose.json as the host delivers it. */
import { checkFeatureGates, parseAppCompose } from '../../../src/config/app-compose.ts';
import { type FuzzTarget, same } from '../target.ts';

const FIELDS =
  'manifest_version name runner snapshotter docker_compose_file pre_launch_script bash_script init_script public_logs ' +
  'public_sysinfo public_tcbinfo key_provider key_provider_id gateway_enabled tproxy_enabled kms_enabled allowed_envs ' +
  'no_instance_id secure_time storage_fs swap_size event_log_version port_policy requirements platforms gpu_policy ' +
  'launch_token_hash verity_volumes source verity_root target ports restrict_mode os_version features tdx_measure_acpi';

const target: FuzzTarget = {
  limit: 131_072,
  dictionary: [
    ...FIELDS.split(' ').map((field) => `"${field}":`),
    '"3"',
    '"docker-compose"',
    '"kms"',
    '"64M"',
    '9007199254740993',
    '-0',
    '1e400',
    '\\ud800',
    '"__proto__":',
    '"constructor":',
    '[',
    ']',
    '{',
    '}',
    'null',
    'true',
    '\ufeff',
  ],
  run(input) {
    const compose = parseAppCompose(input, 'app-compose.json');
    same('hash', compose.composeHash.length, 32);
    checkFeatureGates(compose);
  },
};
export default target;
