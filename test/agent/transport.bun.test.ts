import { describe } from 'vitest';
import { transportSuite } from './transport-suite.ts';

// the sockets of the compiled binary are Bun's
describe.runIf('Bun' in globalThis)('under Bun', transportSuite);
