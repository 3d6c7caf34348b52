import { defineConfig } from 'vitest/config';

// Tests that boot a VM, one after the other: `npx vitest run --config vitest.vm.config.ts [name]`.
export default defineConfig({
  test: {
    include: ['test/vm/**/*.vm.test.ts'],
    globalSetup: ['test/vm/build-image.ts'],
    fileParallelism: false,
    maxConcurrency: 2, // a test file may boot small VMs side by side
    pool: 'forks',
    testTimeout: 300_000,
    hookTimeout: 900_000,
    env: { NO_COLOR: '1' },
  },
});
