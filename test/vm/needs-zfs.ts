import { readFileSync } from 'node:fs';

/** Whether a file of VM tests asks for the image with ZFS. */
export const needsZfs = (file: string): boolean => readFileSync(file, 'utf8').includes('zfs: true');
