/** Apps for the tests of `deploy` in a room with a real docker. */
import { expect } from 'vitest';
import type { DockerRoom, Output } from './docker-room.ts';

export interface Service {
  service: string;
  verdict: string;
  stage?: string;
  words?: string;
  state: string;
}

export const SLEEP = { command: ['sleep', '1000'] };

export const check = (test: string[], retries = 1) => ({
  ...SLEEP,
  healthcheck: { test: ['CMD', ...test], interval: '1s', timeout: '5s', retries },
});

/** One error of this code, told once. @returns everything that was told */
export function failed({ exit, stderr }: Output, code: string): string {
  expect(exit, stderr).toBe(1);
  expect(stderr.match(/error \[/g), stderr).toHaveLength(1);
  expect(stderr).toContain(`error [${code}]`);
  return stderr;
}

/** @param room asked at every call: the tests make it in `beforeAll` */
export function deployApp(room: () => DockerRoom) {
  /** Puts app-compose.json in place; its compose file may be any text. */
  function text(composeFile: string, more: Record<string, unknown> = {}): void {
    const document = {
      manifest_version: 2,
      name: 'app',
      runner: 'docker-compose',
      docker_compose_file: composeFile,
      ...more,
    };
    room().write('dstack/.host-shared/app-compose.json', JSON.stringify(document));
    room().write('dstack/.host-shared/.sys-config.json', JSON.stringify({ vm_config: '{}' }));
  }

  /** Puts an app of these services in place. Their containers have no network unless they ask for one. */
  function app(services: Record<string, object>, more: Record<string, unknown> = {}): void {
    const compose = {
      services: Object.fromEntries(
        Object.entries(services).map(([name, service]) => [
          name,
          { image: 'bb:1', pull_policy: 'never', network_mode: 'none', stop_grace_period: '1s', ...service },
        ]),
      ),
    };
    text(JSON.stringify(compose), more);
  }

  const start = (options = '') => room().sh(`cd /dstack && dstack-util deploy start ${options}`);
  const status = async (): Promise<Service[]> =>
    JSON.parse(await room().ok('dstack-util deploy status --json')).services;
  const down = () =>
    room().ok(
      'cd /dstack && docker compose -f docker-compose.yaml down --remove-orphans --timeout 0 2>/dev/null; true',
    );
  return { app, text, start, status, down };
}
