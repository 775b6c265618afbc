/** How a program is started: as its app says, and where that says nothing, as its image does. */
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

export interface StartSettings {
  readonly exec: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly user: string;
  readonly workdir: string;
}

/** @throws CodedError ERR_NO_PROGRAM when nobody says what to start */
export function startSettings(app: Pick<AppConfig, 'root' | 'exec' | 'env' | 'user' | 'workdir'>, image: ImageSettings | undefined): StartSettings {
  const exec = app.exec.length > 0 ? app.exec : [...(image?.entrypoint ?? []), ...(image?.cmd ?? [])];
  if (exec.length === 0) {
    const name = app.root.kind === 'image' ? app.root.name : '';
    throw new CodedError('ERR_NO_PROGRAM', `it has no "exec", and image "${name}" names no program`, {source: 'client'});
  }
  const variables = (image?.env ?? []).map((variable): [string, string] => {
    const equals = variable.indexOf('=');
    return [variable.slice(0, equals), variable.slice(equals + 1)];
  });
  return {
    exec,
    env: {...Object.fromEntries(variables), ...app.env},
    user: app.user ?? (image?.user || '0:0'),
    workdir: app.workdir ?? (image?.workingDir || '/'),
  };
}
