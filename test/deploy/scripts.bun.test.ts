import { describe } from 'vitest';
import { scriptsSuite } from './scripts-suite.ts';

describe.runIf('Bun' in globalThis)('under Bun', scriptsSuite);
