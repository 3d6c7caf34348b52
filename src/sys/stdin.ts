/** Standard input as bytes, bounded. */

/**
 * Reads stdin until its end, or until it holds more than `limit` bytes: a longer input is then seen by its length and
 * not cut in silence. The chunks that the bytes were copied from are overwritten, as stdin often carries a key.
 */
export async function readStdin(limit: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of process.stdin as AsyncIterable<Uint8Array>) {
    chunks.push(chunk);
    size += chunk.length;
    if (size > limit) break;
  }
  const bytes = new Uint8Array(Buffer.concat(chunks));
  for (const chunk of chunks) chunk.fill(0);
  return bytes;
}
