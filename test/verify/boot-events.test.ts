/** What may be read out of events: those of the boot, before `system-ready`. */
import { describe, expect, it } from 'vitest';
import type { RuntimeEvent } from '../../src/tdx/events.ts';
import { mrConfigIdV3 } from '../../src/tdx/mr-config.ts';
import { answerOf, bootEvents, bytesOf, judge, named, quoteOf, runtimeEvent } from './guest.ts';

const of = (events: readonly RuntimeEvent[]) => bytesOf(answerOf([...events]));
const behind = (name: string, event: RuntimeEvent): RuntimeEvent[] =>
  bootEvents().flatMap((one) => (one.event === name ? [one, event] : [one]));

describe('unencrypted storage', () => {
  const events = behind('storage-fs', runtimeEvent('storage-unencrypted'));

  it('is refused unless it is allowed, pinned or predicted', async () => {
    const report = await judge(of(events));
    expect(report.verdict).toBe('invalid');
    expect(named(report, 'fail')).toEqual([
      'storage-encryption: the data disk is not encrypted: the host reads and changes what the guest stores',
    ]);
    const predicted = events.map(({ event, payload }) => ({ event, payload: Buffer.from(payload).toString('hex') }));
    for (const options of [{ allowUnencrypted: true }, { expect: ['event storage-unencrypted='] }, { predicted }]) {
      const allowed = await judge(of(events), options);
      expect(allowed.verdict).toBe('valid');
      expect(named(allowed, 'note').join()).toContain('storage-encryption: the data disk is not encrypted, as allowed');
    }
  });

  it('is not what an app says later', async () => {
    const later = [...bootEvents(), runtimeEvent('storage-unencrypted')];
    expect((await judge(of(later))).verdict).toBe('valid');
    expect(named(await judge(of(later), { expect: ['event storage-unencrypted='] }), 'fail')).toEqual([
      'expect event storage-unencrypted: the boot did not measure it, the app did later',
    ]);
  });
});

describe('an event of the app', () => {
  const gpuPolicyHash = new Uint8Array(32).fill(9);
  const plain = bootEvents().filter(({ event }) => event !== 'gpu-policy-hash');

  it('does not decide what MR_CONFIG_ID is held against', async () => {
    const document = JSON.stringify({
      version: 3,
      app_id: '01'.repeat(20),
      compose_hash: '02'.repeat(32),
      gpu_policy_hash: '09'.repeat(32),
      key_provider: 'none',
    });
    const answer = (events: RuntimeEvent[]) => ({
      ...answerOf(events, quoteOf(events, { mrConfigId: mrConfigIdV3(document) })),
      vm_config: JSON.stringify({ os_image_hash: 'abcd', mr_config: document }),
    });
    const measured = bootEvents().map((one) =>
      one.event === 'gpu-policy-hash' ? runtimeEvent('gpu-policy-hash', gpuPolicyHash) : one,
    );
    expect(named(await judge(bytesOf(answer(measured))), 'fail')).toEqual([]);
    const later = [...plain, runtimeEvent('gpu-policy-hash', gpuPolicyHash)];
    expect(named(await judge(bytesOf(answer(later))), 'fail').join()).toMatch(/^mr-config: .*gpu_policy_hash/);
  });

  it('is not the event of the boot that was pinned, while its own events can be pinned', async () => {
    const later = [...plain, runtimeEvent('gpu-policy-hash', gpuPolicyHash)];
    const pin = `event gpu-policy-hash=${'09'.repeat(32)}`;
    expect(named(await judge(of(later), { expect: [pin] }), 'fail').join()).toContain('the boot did not measure it');
    expect((await judge(of(bootEvents()), { expect: ['event my-app=68656c6c6f'] })).verdict).toBe('valid');
    expect((await judge(of(bootEvents()), { expect: ['event system-ready='] })).verdict).toBe('valid');
  });
});
