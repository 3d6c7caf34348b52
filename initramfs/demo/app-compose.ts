/** The demo's app-compose.json: what a deployer would hand to a VMM. */
import { DEMO_ARCHIVE, DEMO_TAG } from './image.ts';

/** The port of the demo's page, in the guest. */
export const DEMO_PORT = 8080;

const COMPOSE_FILE = `services:
  demo:
    image: ${DEMO_TAG}
    pull_policy: never
    restart: unless-stopped
    stop_grace_period: 2s
    ports:
      - "${DEMO_PORT}:${DEMO_PORT}"
    volumes:
      - /var/run/dstack.sock:/var/run/dstack.sock
`;

/** There is no registry in a restricted network: the dev image brings the container image along. */
const PRE_LAUNCH = `docker image inspect ${DEMO_TAG} >/dev/null 2>&1 || docker load --quiet --input ${DEMO_ARCHIVE}\n`;

/** The document as an object; `changes` replaces or adds fields. */
export function demoAppCompose(changes: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    manifest_version: 2,
    name: 'dstack-demo',
    runner: 'docker-compose',
    docker_compose_file: COMPOSE_FILE,
    pre_launch_script: PRE_LAUNCH,
    key_provider: 'none',
    storage_fs: 'ext4',
    gateway_enabled: false,
    public_logs: true,
    public_sysinfo: true,
    public_tcbinfo: true,
    secure_time: false,
    ...changes,
  };
}

/** The document as the text that is measured. */
export function demoAppComposeText(changes: Record<string, unknown> = {}): string {
  return `${JSON.stringify(demoAppCompose(changes), null, 2)}\n`;
}
