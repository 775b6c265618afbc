/** Names of the objects of an app. Numbers are padded, so that the order of keys is the order of numbers. */
import type {AppName} from '../../core/ids.ts';

export const keysOf = (app: AppName) =>
  ({
    segments: `apps/${app}/segments/`,
    segment: (segment: number) => `apps/${app}/segments/${padded(segment)}`,
    images: `apps/${app}/images/`,
    /** The token keeps two workers that write one generation apart until a manifest decides. */
    image: (generation: number, token: number) => `apps/${app}/images/${padded(generation)}-${token}`,
    manifests: `apps/${app}/manifests/`,
    manifest: (generation: number) => `apps/${app}/manifests/${padded(generation)}.json`,
    colds: `apps/${app}/cold/`,
    /** What a wake reads first, in one object. */
    cold: (generation: number, token: number) => `apps/${app}/cold/${padded(generation)}-${token}`,
    layers: `apps/${app}/layers/`,
    /** What one instance wrote to its files. The `+` of merged layers cannot be in a key. */
    layer: (layer: string) => `apps/${app}/layers/${layer.replaceAll('+', ':')}`,
    /** What another worker's newer token has overruled; nothing reads it. */
    aside: `apps/${app}/aside/`,
    /** The app's data key, wrapped. */
    key: `apps/${app}/key`,
    predicted: `apps/${app}/predicted`,
    /** Where versions up to 2 of the predicted set were. */
    oldPredicted: `apps/${app}/predicted.json`,
  }) as const;

function padded(number: number): string {
  return String(number).padStart(8, '0');
}

/** The number a key ends with (`.../00000007`, `.../00000007.json`), or undefined. */
export function numberInKey(key: string): number | undefined {
  const digits = /\/(\d{8,})(?:\.json|-\d+)?$/.exec(key)?.[1];
  return digits === undefined ? undefined : Number(digits);
}
