/** How a program is started, and what runs beside it: as its app says, and where that says nothing, as its image does. */
import type {AppConfig} from '../config/value.ts';
import {CodedError} from '../core/errors.ts';

/** What an image says, as OCI's configuration has it. */
export interface ImageSettings {
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  /** `NAME=VALUE` */
  readonly env: readonly string[];
  /** May be `''`. */
  readonly user: string;
  /** May be `''`. */
  readonly workingDir: string;
}

/** The image that is the root of an app which was started. */
export interface RootImage {
  readonly digest: string;
  /** What it said when the app was started; absent in checkpoints of older versions. */
  readonly settings?: ImageSettings | undefined;
}

/** The same, as it is written down with a checkpoint and while the app runs. The app must find the same image when it wakes. */
export interface SavedImage {
  /** Its digest; absent or null: the root is a directory. */
  readonly image?: string | null;
  readonly imageSettings?: ImageSettings | undefined;
}

export function savedImage(image: RootImage | undefined): SavedImage {
  return image === undefined ? {} : {image: image.digest, imageSettings: image.settings};
}

export function rootImageOf({image, imageSettings}: SavedImage): RootImage | undefined {
  return typeof image === 'string' ? {digest: image, settings: imageSettings} : undefined;
}

/**
 * Mounts an image of the store, read-only; it stays until the app asks for another one.
 * @param request.digest which one exactly; null: what the name means now
 */
export type MountImage = (request: {readonly app: string; readonly name: string; readonly digest: string | null}) => Promise<MountedImage>;

export interface MountedImage {
  readonly path: string;
  readonly digest: string;
  /** How it is run; absent when nothing is known, or when it was asked for by its digest. */
  readonly config?: ImageSettings | undefined;
}

/** What an image that is mounted by its name says of how it is run; of one that says nothing, that. */
export function imageSettings({config}: Pick<MountedImage, 'config'>): ImageSettings {
  const {entrypoint = [], cmd = [], env = [], user = '', workingDir = ''} = config ?? {};
  return {entrypoint, cmd, env, user, workingDir};
}

export interface StartSettings {
  readonly exec: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly user: string;
  readonly workdir: string;
}

/** @returns with an empty `exec` when nobody says what to start */
export function startSettings(app: Pick<AppConfig, 'exec' | 'env' | 'user' | 'workdir'>, image: ImageSettings | undefined): StartSettings {
  const variables = (image?.env ?? []).map((variable): [string, string] => {
    const equals = variable.indexOf('=');
    return [variable.slice(0, equals), variable.slice(equals + 1)];
  });
  return {
    exec: app.exec.length > 0 ? app.exec : [...(image?.entrypoint ?? []), ...(image?.cmd ?? [])],
    env: {...Object.fromEntries(variables), ...app.env},
    user: app.user ?? (image?.user || '0:0'),
    workdir: app.workdir ?? (image?.workingDir || '/'),
  };
}

/** @throws CodedError ERR_NO_PROGRAM when nobody says what to start */
export function expectProgram({root}: Pick<AppConfig, 'root'>, {exec}: StartSettings): void {
  if (exec.length > 0) return;
  const name = root.kind === 'image' ? root.name : '';
  throw new CodedError('ERR_NO_PROGRAM', `it has no "exec", and image "${name}" names no program`, {source: 'client'});
}

/** Of a command beside the app. @throws CodedError ERR_NO_USER when only the image could say who it is, and that is not known */
export function expectUser(
  app: Pick<AppConfig, 'root' | 'user'>,
  {image, user}: {readonly image: ImageSettings | undefined; readonly user: string | null},
): void {
  if (app.root.kind === 'directory' || image !== undefined || (app.user ?? user) !== null) return;
  throw new CodedError('ERR_NO_USER', `Cannot tell who the app's user is: what image "${app.root.name}" said of it is not known; name one with --user`, {
    source: 'client',
  });
}
