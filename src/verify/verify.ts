/**
 * The face of this room. What the clients in `net` need of it is small and loaded with it; what judges a whole document is
 * loaded when one is judged.
 */
export type { Collateral } from './collateral-format.ts';
export { runtimeEventsOf } from './evidence-forms.ts';
export { EXPECTATION_VERSION } from './expectation-version.ts';
export type { Expectations } from './expectations.ts';
export { INTEL_ROOT_PEM } from './intel-root.ts';
export { readPlatform } from './pck.ts';
export { fetchCollateral } from './pcs-client.ts';
export { parseSgxQuote, verifySgxQuote } from './sgx-quote.ts';

export const loadQuoteCheck = () => import('./quote-check.ts');
export const loadTcbPolicy = () => import('./tcb-policy.ts');
export const loadExpectations = () => import('./expectations.ts');
export const loadExpectationFile = () => import('./expectation-file.ts');
export const loadDemands = () => import('./joined-demands.ts');
export const loadCollateralSource = () => import('./collateral-source.ts');
export const loadSystemFiles = () => import('./system-files.ts');
export const loadInputs = () => import('./inputs.ts');
export const loadVerification = () => import('./verify-evidence.ts');
export const loadReportJson = () => import('./report-json.ts');
export const loadReportText = () => import('./report-text.ts');
