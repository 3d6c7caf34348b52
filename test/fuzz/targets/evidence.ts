/** Evidence in any form that `verify` reads, and what is told of it when nothing was expected. */
import { readEvidence } from '../../../src/verify/recognise.ts';
import { JSON_WORDS } from '../select.ts';
import { type FuzzTarget, same } from '../target.ts';

const target: FuzzTarget = {
  limit: 24_576,
  dictionary: [
    ...JSON_WORDS,
    '-----BEGIN CERTIFICATE-----\n',
    '-----END CERTIFICATE-----\n',
    '{"quote":"',
    '"event_log":"[]"',
    '"report_data":"',
    '"vm_config":"{}"',
    '0x',
    Uint8Array.of(4, 0, 2, 0, 0x81, 0, 0, 0),
    Uint8Array.of(0x30, 0x82),
    Uint8Array.of(0x93),
  ],
  run(input) {
    const evidence = readEvidence(input);
    same('read twice', readEvidence(input), evidence);
  },
};
export default target;
