/** What an app has written since its last checkpoint, when the gateway ended before the next. */
import {errorCode, errorMessage} from '../core/errors.ts';
import type {AppName} from '../core/ids.ts';
import type {Log} from '../core/log.ts';
import type {GenerationMeta} from './instance.ts';
import {setLostLayersAside} from './layer-chain.ts';

/** Only when every kept generation says which layers are its own can the others be told from them. */
export async function setLayersAside(
  log: Log,
  app: {name: AppName; layersDir: string; used: readonly string[]; keptMetas: () => Promise<readonly GenerationMeta[]>},
): Promise<void> {
  const {name, layersDir, used, keptMetas} = app;
  try {
    const known = new Set([...(await keptMetas()).flatMap((meta) => meta.layers), ...used]);
    const aside = await setLostLayersAside(layersDir, known);
    if (aside.length > 0) log.warn({app: name, layersDir, aside}, 'files written after the last checkpoint were put aside');
  } catch (error) {
    if (errorCode(error) !== 'ERR_DAMAGED_CHECKPOINT') throw error;
    log.error({app: name, error: errorMessage(error)}, 'no file-system layer is removed, since a damaged checkpoint may need it');
  }
}
