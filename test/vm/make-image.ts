/** Builds the image of the VM tests, with `--zfs` the one with the ZFS modules. */
import { ensureDevImage } from '../../initramfs/vm/dev-image.ts';
import { told } from './build-image.ts';

const { name } = await ensureDevImage({ zfs: process.argv.includes('--zfs'), ...told });
console.log(name);
