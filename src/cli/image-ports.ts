/**
 * The ports of apps whose section names none: those that their image exposes. They are known before an app is started, since packets are held for
 * them; everything else that an image says is asked for when the app is started.
 */
import {mkdir, readFile, rename, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import type {AppConfig, Config, Expose} from '../config/value.ts';
import {errorCode, errorMessage} from '../core/errors.ts';
import type {Log} from '../core/log.ts';
import {getName} from '../pager/images/rootfs-image-object.ts';
import {openObjects} from './open-objects.ts';

/** A gateway starts without its store, too. */
const readTimeoutMs = 5000;

type Ports = Readonly<Record<string, readonly Expose[]>>;

function lacksPorts({root, expose}: AppConfig): boolean {
  return root.kind === 'image' && expose.length === 0;
}

/** The configuration with these ports. What is not known is logged, and such an app has none until the next reload. */
export async function withImagePorts(config: Config, log: Log): Promise<Config> {
  const images = new Set(config.apps.flatMap((app) => (lacksPorts(app) && app.root.kind === 'image' ? [app.root.name] : [])));
  if (images.size === 0) return config;
  const file = join(config.global.stateDir, 'image-ports.json');
  const known = await readKnown(file);
  const ports: Ports = Object.fromEntries(await readPorts(config, [...images], {known, log}));
  if (JSON.stringify(ports) !== JSON.stringify(known)) {
    await mkdir(config.global.stateDir, {recursive: true, mode: 0o700})
      .then(() => writeFile(`${file}.new`, JSON.stringify(ports), {mode: 0o600}))
      .then(() => rename(`${file}.new`, file))
      .catch((error: unknown) => log.warn({error: errorMessage(error)}, 'the ports of images are not remembered'));
  }
  const exposed = (app: AppConfig): readonly Expose[] => (app.root.kind === 'image' ? (ports[app.root.name] ?? []) : []);
  return {...config, apps: config.apps.map((app) => (lacksPorts(app) ? {...app, expose: exposed(app)} : app))};
}

async function readKnown(file: string): Promise<Ports> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as Ports;
  } catch {
    return {}; // Nothing was remembered, or it can be read again.
  }
}

async function readPorts(
  config: Config,
  images: readonly string[],
  {known, log}: {readonly known: Ports; readonly log: Log},
): Promise<(readonly [string, readonly Expose[]])[]> {
  await using scope = new AsyncDisposableStack();
  const objects = openObjects(config, scope);
  const timeout = new Promise<never>((_resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no answer within ${readTimeoutMs} ms`)), readTimeoutMs);
    scope.defer(() => clearTimeout(timer));
  });
  timeout.catch(() => undefined); // Only who waits then is told.
  return await Promise.all(
    images.map(async (image) => {
      try {
        const {config: settings} = await Promise.race([objects.then((opened) => getName(opened, image)), timeout]);
        if (settings === undefined) log.warn({image}, 'the image does not say which ports it exposes, and the app does not either');
        return [image, settings?.exposedPorts ?? []] as const;
      } catch (error) {
        const reason = errorCode(error) === 'ERR_NO_OBJECT' ? 'there is no such image; reload when it is there' : errorMessage(error);
        log.warn({image, reason}, 'the ports of an image are not known; those from before count');
        return [image, known[image] ?? []] as const;
      }
    }),
  );
}
