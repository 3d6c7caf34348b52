/** The parser of an option that may be repeated. @returns the values in their order */
export const collect = (value: string, before: readonly string[]): string[] => [...before, value];
