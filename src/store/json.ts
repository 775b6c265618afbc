export type Json = null | boolean | number | string | readonly Json[] | {readonly [name: string]: Json};

/** JSON.parse with a type and without a throw: undefined when `text` is not JSON. */
export function parseJson(text: string): Json | undefined {
  try {
    return JSON.parse(text) as Json;
  } catch {
    // What is wrong with it does not help; the caller names where it stood.
    return undefined;
  }
}
