import { defineConfig } from 'vitest/config';
import { LongestFirst } from './test/vm/order.ts';

// Tests that boot a VM: `npx vitest run --config vitest.vm.config.ts [name]`.
export default defineConfig({
  test: {
    include: ['test/vm/**/*.vm.test.ts'],
    globalSetup: ['test/vm/build-image.ts'],
    maxWorkers: 2, // one guest often waits for a timer, or for its one busy processor
    sequence: { sequencer: LongestFirst },
    maxConcurrency: 2, // a test file may boot small VMs side by side
    pool: 'forks',
    testTimeout: 300_000,
    hookTimeout: 900_000,
    env: { NO_COLOR: '1' },
  },
});
