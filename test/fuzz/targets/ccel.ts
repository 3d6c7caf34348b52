/** Boot event logs of the firmware. */
import { parseCcel } from '../../../src/tdx/ccel.ts';
import { fullLogJson, parseLogJson } from '../../../src/tdx/log-json.ts';
import { replay } from '../../../src/tdx/replay.ts';
import { isMeasured, NO_REGISTER } from '../../../src/tdx/tdx-event.ts';
import { type FuzzTarget, same } from '../target.ts';

const target: FuzzTarget = {
  limit: 262_144,
  dictionary: [
    'Spec ID Event03\0',
    'ACPI DATA',
    Uint8Array.of(0xff, 0xff, 0xff, 0xff),
    Uint8Array.of(1, 0, 0, 0, 0x0c, 0),
    'SP800-155 Event3',
    Uint8Array.of(1, 0, 0, 0, 3, 0, 0, 0),
    Uint8Array.of(0xff, 0xff, 0xff, 0xff, 3, 0, 0, 0, 1, 0, 0, 0, 0x0c, 0),
    Uint8Array.of(0x0c, 0, 0x30, 0),
    Uint8Array.of(4, 0),
    Uint8Array.of(11, 0),
    Uint8Array.of(13, 0),
  ],
  run(input) {
    const events = parseCcel(input);
    for (const event of events) {
      const placed = (event.imr >= 0 && event.imr <= 3) || (event.imr === NO_REGISTER && !isMeasured(event));
      if (!placed || event.digest.length !== 48) throw new Error('an event has no place in a register');
    }
    for (const imr of [0, 1, 2, 3]) {
      same('what only informs changes no register', replay(events.filter(isMeasured), imr), replay(events, imr));
    }
    same('JSON and back', parseLogJson(JSON.stringify(fullLogJson(events))), events);
  },
};
export default target;
