import { describe, expect, it } from 'vitest';
import { parseAppCompose } from '../../src/config/app-compose.ts';
import { parseCmdline } from '../../src/config/cmdline.ts';
import { peerTcbPolicy } from '../../src/config/peer-policy.ts';
import { failure } from '../failure.ts';

const compose = (statuses: unknown) =>
  parseAppCompose(
    Buffer.from(
      JSON.stringify({
        manifest_version: '3',
        name: 'a',
        runner: 'bash',
        requirements: { peer_tcb_statuses: statuses },
      }),
    ),
  );
const policy = (cmdline: string, statuses: unknown) => peerTcbPolicy(parseCmdline(cmdline), compose(statuses));

describe('the policy for the platforms of peers', () => {
  it.each([
    ['quiet', undefined, undefined],
    ['quiet', null, undefined],
    ['quiet', ['OutOfDate', 'UpToDate'], ['UpToDate', 'OutOfDate']],
    ['dstack.peer_tcb=UpToDate', undefined, ['UpToDate']],
    ['dstack.peer_tcb=SWHardeningNeeded,UpToDate', null, ['UpToDate', 'SWHardeningNeeded']],
    ['dstack.peer_tcb=UpToDate,OutOfDate', ['UpToDate', 'SWHardeningNeeded'], ['UpToDate']],
    // the host can only add words behind those of the image
    ['dstack.peer_tcb=UpToDate dstack.peer_tcb=UpToDate,OutOfDate', undefined, ['UpToDate']],
  ])('of %j and %j is %j', (cmdline, statuses, expected) => {
    expect(policy(cmdline, statuses)).toEqual(expected);
  });

  it.each([
    ['dstack.peer_tcb', undefined],
    ['dstack.peer_tcb=', undefined],
    ['dstack.peer_tcb=Revoked', undefined],
    ['dstack.peer_tcb=UpToDate,', undefined],
    ['dstack.peer_tcb=uptodate', undefined],
    ['dstack.peer_tcb=UpToDate', ['OutOfDate']],
  ])('%j with %j cannot be read, and is not taken for none', (cmdline, statuses) => {
    expect(failure(() => policy(cmdline, statuses))).toMatchObject({
      code: 'CONFIG_INVALID',
      field: 'dstack.peer_tcb',
    });
  });

  it.each([[[]], [['Revoked']], [['UpToDate', 'good']], ['UpToDate'], [[1]]])(
    'an app cannot ask for %j',
    (statuses) => {
      expect(failure(() => compose(statuses))).toMatchObject({
        code: 'DOCUMENT_INVALID',
        field: expect.stringMatching(/^requirements\.peer_tcb_statuses/),
      });
    },
  );
});
