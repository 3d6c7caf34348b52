/** Where the start of the app begins and ends, by the names that its timeline has. */
export const FIRST_STEP = 'check the runner';
export const LAST_STEP = 'report the start';
