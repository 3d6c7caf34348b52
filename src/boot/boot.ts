/** The face of this room. Each command is one job of the boot and loads the part of it that it needs. */
export type { Finding } from './doctor/finding.ts';

export const loadAfterFailure = () => import('./after-failure.ts');
export const loadBootMachine = () => import('./boot-machine.ts');
export const loadExamine = () => import('./doctor/examine.ts');
export const loadGuestMachine = () => import('./doctor/guest-machine.ts');
export const loadHostShare = () => import('./host-share.ts');
export const loadNotifier = () => import('./notifier.ts');
export const loadPrepared = () => import('./prepare/prepared.ts');
export const loadRun = () => import('./run.ts');
export const loadRunSequence = () => import('./run-sequence.ts');
export const loadSequence = () => import('./sequence.ts');
export const loadTimelineChart = () => import('./timeline-chart.ts');
export const loadTimelineStore = () => import('./timeline-store.ts');
export const loadTimelineWriter = () => import('./timeline-writer.ts');
