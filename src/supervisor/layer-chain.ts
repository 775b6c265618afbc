/** Keeps an app's chain of file-system layers short, and removes layers that nothing needs. */
import {readdir, rename} from 'node:fs/promises';
import {join} from 'node:path';
import {errorCode} from '../core/errors.ts';
import {type GenerationMeta, type Rest, restLayers} from './instance.ts';
import {layerSize, mergeLayers, planMerge, removeLayer, removeUnfinishedLayers} from './layers.ts';

/** Layers of instances that were lost, kept for a person who wants their files. */
const lostPrefix = 'lost-';
const lostKept = 3;

async function layersIn(layersDir: string): Promise<string[]> {
  try {
    return (await readdir(layersDir)).filter((name) => !name.startsWith('.'));
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return [];
    throw error;
  }
}

/** A name that is in nobody's list: `<older>+<newer>` with only the ends of what was merged before. */
function mergedName(older: string, newer: string): string {
  return `${older.split('+')[0] ?? older}+${newer.split('+').at(-1) ?? newer}`;
}

export interface ChainOptions {
  readonly layersDir: string;
  readonly rest: Rest;
  /** Of all generations that are kept. */
  readonly kept: readonly GenerationMeta[];
  /** What an instance uses at the moment of the call. */
  readonly inUse: () => readonly string[];
}

/**
 * Merges adjacent layers while there are too many, then removes those that neither a kept generation nor an instance
 * has. @returns what the next wake starts from, with the same content
 */
export async function tidyLayers(options: ChainOptions): Promise<Rest> {
  const {layersDir, rest} = options;
  const layers = [...restLayers(rest)];
  const here = await layersIn(layersDir);
  // Of an app that is in the remote store only, nothing is merged.
  const sizes = layers.every((layer) => here.includes(layer)) ? await Promise.all(layers.map((layer) => layerSize(join(layersDir, layer, 'upper')))) : [];
  for (let plan = planMerge(sizes); plan !== undefined; plan = planMerge(sizes)) {
    const [older, newer] = [layers[plan.older], layers[plan.newer]];
    if (older === undefined || newer === undefined) break;
    const merged = mergedName(older, newer);
    // One that is there was made for a wake that came in between; its name says what it holds, and it appears whole or not at all.
    if (!(await layersIn(layersDir)).includes(merged)) await mergeLayers({layersDir, older, newer, merged});
    layers.splice(plan.older, 2, merged);
    sizes.splice(plan.older, 2, await layerSize(join(layersDir, merged, 'upper')));
  }
  const needed = new Set([...layers, ...options.kept.flatMap((meta) => meta.layers)]);
  for (const layer of await layersIn(layersDir)) {
    // A wake may have begun since.
    if (!needed.has(layer) && !options.inUse().includes(layer) && !layer.startsWith(lostPrefix)) await removeLayer(layersDir, layer);
  }
  return rest.kind === 'checkpoint' ? {...rest, meta: {...rest.meta, layers}} : {...rest, layers};
}

/** Removes all layers of a sleeping app that are stored elsewhere; what was put aside stays. A crash in between leaves nothing that looks like a layer. */
export async function dropLayers(layersDir: string): Promise<void> {
  for (const layer of await droppableLayers(layersDir)) await removeLayer(layersDir, layer);
}

/** What `dropLayers()` would remove. */
export async function droppableLayers(layersDir: string): Promise<readonly string[]> {
  return (await layersIn(layersDir)).filter((layer) => !layer.startsWith(lostPrefix));
}

/**
 * After a gateway that ended without putting its instances away: the files they wrote since their generation belong to
 * no generation. They are put aside, the newest three are kept. A merged layer that no generation names is only a copy.
 * @returns the names under which they are kept now
 */
export async function setLostLayersAside(layersDir: string, known: ReadonlySet<string>): Promise<string[]> {
  const all = await layersIn(layersDir);
  if (all.length > 0) await removeUnfinishedLayers(layersDir);
  const aside: string[] = [];
  for (const layer of all) {
    if (known.has(layer) || layer.startsWith(lostPrefix)) continue;
    if (layer.includes('+') || (await layerSize(join(layersDir, layer, 'upper'))) === 0) {
      await removeLayer(layersDir, layer);
      continue;
    }
    await rename(join(layersDir, layer), join(layersDir, `${lostPrefix}${layer}`));
    aside.push(`${lostPrefix}${layer}`);
  }
  const lost = [...all.filter((layer) => layer.startsWith(lostPrefix)), ...aside];
  const byAge = lost.sort((a, b) => Number.parseInt(a.slice(lostPrefix.length), 10) - Number.parseInt(b.slice(lostPrefix.length), 10));
  for (const layer of byAge.slice(0, -lostKept)) await removeLayer(layersDir, layer);
  return aside;
}
