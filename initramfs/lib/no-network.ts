/** A failure of apt because nothing can be reached, told in one line. */

/** What apt says then (methods connect.cc and http.cc of apt); a wrong name or a 404 is not meant. */
const UNREACHABLE =
  /Temporary failure resolving|Could not resolve|Could not connect to|Unable to connect to|Cannot initiate the connection|Network is unreachable|No route to host|connection timed out/i;

/** Replaces a long text of apt and mmdebstrap; any other failure is left as it is. */
export function namingNetwork(thrown: unknown): unknown {
  const text = thrown instanceof Error ? thrown.message : '';
  const line = text.split('\n').find((it) => UNREACHABLE.test(it));
  if (line === undefined) return thrown;
  return new Error(
    `no network: cannot reach Debian's mirror\n  | ${line.trim().slice(0, 300)}\n` +
      '  hint: look at the network and the proxy settings, or name another mirror: --mirror URL',
    { cause: thrown },
  );
}
