/** One call of a function of the library; bytes in its arguments stand as `{ base64 }`. */
export interface Call {
  readonly name: string;
  readonly call: string;
  readonly args: readonly unknown[];
}

export declare function runAll(library: object, calls: readonly Call[]): Promise<string[]>;
