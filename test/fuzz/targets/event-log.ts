/** Runtime event logs: the lines on disk, and the JSON array in answers and old certificates. */
import { formatLine, parseLog } from '../../../src/tdx/event-lines.ts';
import { fullLogJson, parseLogJson, quoteLogJson } from '../../../src/tdx/log-json.ts';
import { replay, replayRuntime } from '../../../src/tdx/replay.ts';
import { type FuzzTarget, same } from '../target.ts';

const target: FuzzTarget = {
  limit: 262_144,
  dictionary: [
    '{"event":"app-id","payload":"AAA="}\n',
    ',"version":2}',
    '"imr":3,"event_type":134217729,"digest":"","event":"","event_payload":""',
    '"preimage":"',
    '\\ud800',
    '\\u0000',
    '1e99',
    '-0',
    '[',
    ']',
    '{',
    '}',
    'null',
    '"__proto__":',
  ],
  run(input) {
    // an array starts with a bracket, a line with a brace
    if (input[0] === 0x5b) {
      const events = parseLogJson(Buffer.from(input).toString('utf8'));
      replay(events, 3);
      same('JSON and back', parseLogJson(JSON.stringify(fullLogJson(events))).length, events.length);
      parseLogJson(quoteLogJson(events));
    } else {
      const events = parseLog(input, 'log');
      same('a register', replayRuntime(events).length, 48);
      same('lines and back', parseLog(Buffer.from(events.map(formatLine).join('')), 'log'), events);
    }
  },
};
export default target;
