/** The package declares types for its face only; this is the one file behind it that is loaded. */
declare module '@phala/dcap-qvl/src/verify.js' {
  const verify: Pick<typeof import('@phala/dcap-qvl'), 'QuoteVerifier'>;
  export default verify;
}
