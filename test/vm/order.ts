/** In which order the files of VM tests run: those that need the ZFS modules last, so that these are there by then. */
import { BaseSequencer, type TestSpecification } from 'vitest/node';
import { needsZfs } from './needs-zfs.ts';

export class ZfsLast extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    return [
      ...sorted.filter(({ moduleId }) => !needsZfs(moduleId)),
      ...sorted.filter(({ moduleId }) => needsZfs(moduleId)),
    ];
  }
}
