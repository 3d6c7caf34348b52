/** Judging the evidence of confidential VMs of dstack: the code of `dstack-util verify`, for any JavaScript engine. */
export { verifyEvidence } from './evidence.ts';
