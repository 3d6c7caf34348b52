import { transportSuite } from './transport-suite.ts';

transportSuite();
