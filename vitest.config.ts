import { defineConfig } from 'vitest/config';

// Unit tests only: the VM tests in test/vm have their own config because they need an image and run one at a time.
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/vm/**', 'test/**/*.bun.test.ts', 'node_modules/**'],
    testTimeout: 20_000,
    pool: 'forks',
    maxWorkers: '100%', // the default leaves one processor out, which is half of a small machine
    env: { NO_COLOR: '1' },
  },
});
