/** How vitest is told in which order to run the files of VM tests. */
import { BaseSequencer, type TestSpecification } from 'vitest/node';
import { loadTools } from '../../initramfs/lib/tools.ts';
import { haveZfs } from '../../initramfs/lib/zfs.ts';
import { fileOrder } from './file-order.ts';

export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    // without a tools tree nothing is there yet
    return fileOrder(files, await loadTools().then(haveZfs, () => false));
  }
}
