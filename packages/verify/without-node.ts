/** For Bun's bundler: what stands for the modules of Node where there are none. The library and the verification page need it. */
import { join, resolve } from 'node:path';
import type { BunPlugin } from 'bun';

const HERE = import.meta.dirname;

export const withoutNode: BunPlugin = {
  name: 'without Node',
  setup(build) {
    // the stand-in that the DCAP library brings for browsers
    build.onResolve({ filter: /^\.\/crypto-compat$/ }, () => ({ path: join(HERE, 'dcap-crypto.ts') }));
    build.onResolve({ filter: /^(node:)?buffer$/ }, () => ({
      path: resolve(HERE, '../../node_modules/buffer/index.js'),
    }));
  },
};
