/** The named properties only: `{...options}` would keep all of them, once more for each part of each of thousands of apps. */
export function pick<Value extends object, Key extends keyof Value>(value: Value, ...keys: readonly Key[]): Pick<Value, Key> {
  return Object.fromEntries(keys.map((key) => [key, value[key]])) as Pick<Value, Key>;
}
