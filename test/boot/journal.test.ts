import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { journalFailure } from '../../src/boot/journal.ts';
import { DstackError } from '../../src/errors.ts';
import { type Native, setNative } from '../../src/sys/native.ts';

let sent: [string, string][];
beforeEach(() => {
  sent = [];
  process.env['JOURNAL_STREAM'] = '8:1';
  const sendDatagram = (path: string, data: Uint8Array) => void sent.push([path, new TextDecoder().decode(data)]);
  setNative({ sendDatagram } as Partial<Native> as Native);
});
afterEach(() => {
  delete process.env['JOURNAL_STREAM'];
  setNative(undefined);
});

describe('journalFailure', () => {
  it('sends the code as a field, and no value can add another field', async () => {
    await journalFailure(new DstackError('LUKS_KEY_WRONG', 'x'), 'wrong key\nDSTACK_ERROR=NONE');
    expect(sent).toEqual([
      [
        '/run/systemd/journal/socket',
        'MESSAGE=wrong key\\nDSTACK_ERROR=NONE\nPRIORITY=3\nSYSLOG_IDENTIFIER=dstack-util\nDSTACK_ERROR=LUKS_KEY_WRONG\n',
      ],
    ]);
  });

  it('is silent outside a service manager and survives a journal that is not there', async () => {
    delete process.env['JOURNAL_STREAM'];
    await journalFailure(new Error('x'), 'x');
    expect(sent).toEqual([]);
    process.env['JOURNAL_STREAM'] = '8:1';
    setNative({
      sendDatagram: () => {
        throw new Error('ENOENT');
      },
    } as Partial<Native> as Native);
    await journalFailure(new Error('x'), 'x');
  });
});
