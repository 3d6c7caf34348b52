/**
 * The face of this room. What asks docker is loaded with it: the agent does little else. What starts the app, or reads
 * docker's records while dockerd does not run, is loaded when it is called.
 */
export { composeProject } from './compose-file.ts';
export { type ContainerState, type ContainerUsage, containerState, containerUsage } from './container-figures.ts';
export { bodyText, type ContainerSummary, dockerMessage, dockerRequest, listContainers } from './docker-api.ts';
export { type ProjectContainer, projectContainers } from './docker-control.ts';
export { DockerFrames, type LogFrame } from './log-frames.ts';
export type { ServiceStatus } from './service-status.ts';
export { FIRST_STEP, LAST_STEP } from './step-names.ts';

export const loadComposeFile = () => import('./compose-file.ts');
export const loadContainerRecords = () => import('./container-records.ts');
export const loadDockerRegistry = () => import('./docker-registry.ts');
export const loadHold = () => import('./hold.ts');
export const loadOrphans = () => import('./orphans.ts');
export const loadPlan = () => import('./plan.ts');
export const loadSteps = () => import('./steps.ts');
export const loadAppCheck = () => import('./app/check-file.ts');
export const loadAppInit = () => import('./app/init-app.ts');
export const loadAppPorts = () => import('./app/check-ports.ts');
