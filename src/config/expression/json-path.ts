/** Paths such as `$.user.roles[0]` of `json_query` and its relatives: from the whole (`$`) by keys and places in arrays. */

/** A key of an object as it is written in the JSON text, or a place in an array. */
export type JsonStep = string | number;

const step = /\.((?:\\.|[^\\.[])+)|\[(\d{1,9})\]/sy;

/** Null: it is no such path. In a key a backslash stands before a dot, a bracket or a backslash that belongs to it. */
export function parseJsonPath(text: string): readonly JsonStep[] | null {
  if (!text.startsWith('$')) return null;
  const steps: JsonStep[] = [];
  step.lastIndex = 1;
  while (step.lastIndex < text.length) {
    const [, key, place] = step.exec(text) ?? [];
    if (key === undefined && place === undefined) return null;
    steps.push(key === undefined ? Number(place) : key.replace(/\\(.)/gs, '$1'));
  }
  return steps;
}
