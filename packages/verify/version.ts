/** The version of the package, which is that of the program. */
import { VERSION as BUILT } from '../../src/version.ts';

export const VERSION: string = BUILT;
