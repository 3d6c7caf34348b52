/** The face of this room: what other rooms use of disks. Loaded when a disk is first needed. */
export { chooseDataDevice, type DataDevice, namedDataDevice } from './choose-disk.ts';
export { closeDataDisk } from './close.ts';
export {
  type DataDisk,
  type DataDiskOptions,
  formatDataDisk,
  isOpen,
  mountExisting,
  openDataDisk,
  refuseOpenMapping,
} from './data-disk.ts';
export { realDiskMachine } from './disk-machine.ts';
export { growPartition } from './grow.ts';
export { growVolume } from './grow-volume.ts';
export { readDiskKey } from './key-file.ts';
export { forgetRestarts, readRestarts, writeRestarts } from './restarts.ts';
export { checkHeader, type DiskStatus, diskStatus } from './status.ts';
export { statusText } from './status-text.ts';
export { type SwapOptions, setupSwap } from './swap.ts';
export { listText, listVolumes, mountVolumesOf, statusLines, volumeStatus } from './volume-status.ts';
export { mountVerityVolumes } from './volumes.ts';
