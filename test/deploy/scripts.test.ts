import { scriptsSuite } from './scripts-suite.ts';

scriptsSuite();
