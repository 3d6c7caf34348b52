/** Another X.509 library, for certificates that our own code would never write. `reflect-metadata` must be there before it. */
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
