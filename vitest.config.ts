import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

/**
 * Rooms whose tests leave nothing behind in a module: their files share a process, which saves loading the same sources
 * again for each file. A room of which a module remembers something (quotes, registers, the agent) stays out.
 */
const SHARED = [
  'codec',
  'config',
  'conformance',
  'fault',
  'fde',
  'http',
  'initramfs',
  'keys',
  'vm-unit',
  'verify',
  'x509',
];

const all = 'test/**/*.test.ts';
const others = ['test/vm/**', 'test/**/*.bun.test.ts', 'node_modules/**'];
const shared = SHARED.map((room) => `test/${room}/**/*.test.ts`);

// Unit tests only: the VM tests in test/vm have their own config because they need an image and boot machines.
export default defineConfig({
  test: {
    testTimeout: 20_000,
    pool: 'forks',
    // one more than processors: some tests wait for a program or a timer most of the time
    maxWorkers: availableParallelism() + 1,
    env: { NO_COLOR: '1' },
    projects: [
      { extends: true, test: { name: 'alone', include: [all], exclude: [...others, ...shared] } },
      { extends: true, test: { name: 'shared', include: shared, exclude: others, isolate: false } },
    ],
  },
});
