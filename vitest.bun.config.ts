import { defineConfig } from 'vitest/config';

// Tests of what only Bun has (its foreign function interface): run as `bun --bun vitest run --config vitest.bun.config.ts`.
export default defineConfig({
  test: {
    include: ['test/**/*.bun.test.ts', 'test/sys/exec.test.ts', 'test/initramfs/compare.test.ts'],
    testTimeout: 20_000,
    pool: 'forks',
    env: { NO_COLOR: '1' },
  },
});
