/**
 * Loads the X.509 library when the first certificate is made or read: it costs 20 ms, and most commands need none.
 * `reflect-metadata` must be there before it, or its dependency injection fails in the compiled binary.
 */
export type X509 = typeof import('@peculiar/x509');

let loaded: Promise<X509> | undefined;

export function loadX509(): Promise<X509> {
  loaded ??= load();
  return loaded;
}

async function load(): Promise<X509> {
  await import('reflect-metadata');
  return import('@peculiar/x509');
}
