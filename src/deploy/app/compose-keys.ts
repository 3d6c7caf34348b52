/**
 * The keys that the docker compose of the guest image knows, from the schema that it checks files with: Debian 13's
 * 2.26.1-4, which is ahead of the upstream release of that number in some. A test compares them with the program.
 * Compose refuses a file with any other key, unless its name begins with `x-`.
 */
const words = (text: string): ReadonlySet<string> => new Set(text.split(' '));

/** The compose of this project's image; other images say which one they have in their bill of materials. */
export const KNOWN_COMPOSE = '2.26.1';

export const COMPOSE_KEYS = {
  top: words('configs include name networks secrets services version volumes'),
  service: words(
    'annotations attach blkio_config build cap_add cap_drop cgroup cgroup_parent command configs container_name cpu_count cpu_percent cpu_period cpu_quota cpu_rt_period cpu_rt_runtime cpu_shares cpus cpuset credential_spec depends_on deploy develop device_cgroup_rules devices dns dns_opt dns_search domainname entrypoint env_file environment expose extends external_links extra_hosts gpus group_add healthcheck hostname image init ipc isolation label_file labels links logging mac_address mem_limit mem_reservation mem_swappiness memswap_limit network_mode networks oom_kill_disable oom_score_adj pid pids_limit platform ports post_start pre_stop privileged profiles pull_policy read_only restart runtime scale secrets security_opt shm_size stdin_open stop_grace_period stop_signal storage_opt sysctls tmpfs tty ulimits user userns_mode uts volumes volumes_from working_dir',
  ),
  build: words(
    'additional_contexts args cache_from cache_to context dockerfile dockerfile_inline entitlements extra_hosts isolation labels network no_cache platforms privileged pull secrets shm_size ssh tags target ulimits',
  ),
  healthcheck: words('disable interval retries start_interval start_period test timeout'),
  deploy: words('endpoint_mode labels mode placement replicas resources restart_policy rollback_config update_config'),
  network: words('attachable driver driver_opts enable_ipv4 enable_ipv6 external internal ipam labels name'),
  volume: words('driver driver_opts external labels name'),
  secret: words('driver driver_opts environment external file labels name template_driver'),
  config: words('content environment external file labels name template_driver'),
  port: words('app_protocol host_ip mode name protocol published target'),
  mount: words('bind consistency read_only source target tmpfs type volume'),
  logging: words('driver options'),
} as const;

export type ComposeObject = keyof typeof COMPOSE_KEYS;

/** Keys of later releases, with the first one that has them (release notes of docker compose). */
export const LATER_KEYS: Readonly<Partial<Record<ComposeObject, Readonly<Record<string, string>>>>> = {
  top: { models: '2.38.0' },
  service: { provider: '2.36.0', models: '2.38.0' },
};
