/** The journal entry of a failed boot, with its error code as a field: `journalctl DSTACK_ERROR=LUKS_KEY_WRONG` finds it. */
import { errorChain, toDstackError } from '../errors.ts';
import { isDryRun } from '../sys/effects.ts';
import { native } from '../sys/native.ts';
import * as ui from '../ui.ts';

/** systemd-journald(8), native protocol: one datagram, `KEY=value` lines; a value has no line feed in this form. */
const SOCKET = '/run/systemd/journal/socket';
const PRIORITY_ERROR = 3;

/** Best effort, and only under a service manager: elsewhere nobody reads the journal. */
export async function journalFailure(thrown: unknown, message: string): Promise<void> {
  if (process.env['JOURNAL_STREAM'] === undefined || isDryRun()) return;
  const fields = {
    MESSAGE: ui.printable(message),
    PRIORITY: PRIORITY_ERROR,
    SYSLOG_IDENTIFIER: 'dstack-util',
    DSTACK_ERROR: toDstackError(thrown).code,
  };
  const text = Object.entries(fields).map(([key, value]) => `${key}=${value}\n`);
  try {
    (await native()).sendDatagram(SOCKET, new TextEncoder().encode(text.join('')));
  } catch (second) {
    ui.debug(`the journal did not take the error: ${errorChain(second)}`);
  }
}
