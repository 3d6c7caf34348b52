/** Documents of the host share and of the guest itself. JSON that is accepted must mean the same to JSON.parse. */

import { timelineText } from '../../../src/boot/timeline-chart.ts';
import { parseAppKeys } from '../../../src/config/app-keys.ts';
import { parseCmdline } from '../../../src/config/cmdline.ts';
import { parseEnvKeyAnswer } from '../../../src/config/env-key-answer.ts';
import { parseInstanceInfo } from '../../../src/config/instance-info.ts';
import { parseStrictJson } from '../../../src/config/strict-json.ts';
import { parseSysConfig } from '../../../src/config/sys-config.ts';
import { timeServers } from '../../../src/config/time-servers.ts';
import { parseTimeline } from '../../../src/config/timeline-file.ts';
import { parseGatewayCache } from '../../../src/net/gateway-cache.ts';
import { JSON_WORDS, oneOf, utf8 } from '../select.ts';
import { type FuzzTarget, same } from '../target.ts';

const target: FuzzTarget = {
  limit: 8192,
  dictionary: [
    ...JSON_WORDS,
    '"vm_config":"{}"',
    '"kms_urls":["https://a"]',
    '"host_api_url":"vsock://2:1/api"',
    '"mr_config":',
    '"instance_id":"',
    '"key_provider":{"Kms":{',
    'dstack.nts=a.example:4460',
    '"durationMs":1',
    '"start":"2026-01-01T00:00:00Z"',
  ],
  run: oneOf(
    (bytes) => void parseSysConfig(bytes),
    (bytes) => void parseInstanceInfo(bytes),
    (bytes) => void parseAppKeys(bytes),
    (bytes) => void parseEnvKeyAnswer(bytes, 'answer'),
    (bytes) => void parseGatewayCache(bytes),
    (bytes) => void timelineText(parseTimeline(utf8(bytes)), { columns: 80 }),
    (bytes) => void timeServers(parseCmdline(utf8(bytes))),
    (bytes) => {
      const text = utf8(bytes);
      same('as JSON.parse reads it', parseStrictJson(text), JSON.parse(text));
    },
  ),
};
export default target;
