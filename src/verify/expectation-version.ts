/** Version of the expectation file: what is written, and the only one that is read. */
export const EXPECTATION_VERSION = 1;
