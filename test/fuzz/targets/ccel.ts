/** Boot event logs of the firmware. */
import { parseCcel } from '../../../src/tdx/ccel.ts';
import { fullLogJson, parseLogJson } from '../../../src/tdx/log-json.ts';
import { replay } from '../../../src/tdx/replay.ts';
import { type FuzzTarget, same } from '../target.ts';

const target: FuzzTarget = {
  limit: 262_144,
  dictionary: [
    'Spec ID Event03\0',
    'ACPI DATA',
    Uint8Array.of(0xff, 0xff, 0xff, 0xff),
    Uint8Array.of(1, 0, 0, 0, 0x0c, 0),
    Uint8Array.of(0x0c, 0, 0x30, 0),
    Uint8Array.of(4, 0),
    Uint8Array.of(11, 0),
    Uint8Array.of(13, 0),
  ],
  run(input) {
    const events = parseCcel(input);
    for (const { imr, digest } of events) {
      if (imr < 0 || imr > 3 || digest.length !== 48) throw new Error('an event has no place in a register');
    }
    same('a register', replay(events, 0).length, 48);
    same('JSON and back', parseLogJson(JSON.stringify(fullLogJson(events))), events);
  },
};
export default target;
