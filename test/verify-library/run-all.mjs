/** Runs the library over fixtures; plain JavaScript without imports, because every engine runs this very text. */

/**
 * @param {object} library the module
 * @param {{ name: string, call: string, args: unknown[] }[]} fixtures bytes in arguments stand as { base64 }
 * @returns {Promise<string[]>} what each call answered, or the code it failed with, as JSON
 */
export async function runAll(library, fixtures) {
  const revive = (value) => {
    if (typeof value !== 'object' || value === null) return value;
    if (Array.isArray(value)) return value.map(revive);
    if (typeof value.base64 === 'string') return Uint8Array.from(atob(value.base64), (c) => c.charCodeAt(0));
    return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, revive(member)]));
  };
  const results = [];
  for (const { call, args } of fixtures) {
    try {
      results.push(JSON.stringify(await library[call](...revive(args))));
    } catch (thrown) {
      results.push(JSON.stringify({ code: thrown.code, message: thrown.message }));
    }
  }
  return results;
}
