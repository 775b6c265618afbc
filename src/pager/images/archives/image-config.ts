/** What an image says of how it is run: the part of OCI's image configuration that concerns us. */
import {CodedError} from '../../../core/errors.ts';

export interface ImageConfig {
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  /** `NAME=VALUE` */
  readonly env: readonly string[];
  /** `USER`, `USER:GROUP`; `''`: root. */
  readonly user: string;
  /** `''`: the root directory. */
  readonly workingDir: string;
  readonly exposedPorts: readonly {readonly protocol: 'tcp' | 'udp'; readonly port: number}[];
  readonly labels: Readonly<Record<string, string>>;
  /** `SIGQUIT`, or a number; null: nothing is said. */
  readonly stopSignal: string | null;
}

/** Of what an image is for: `linux/arm64`, `linux/arm/v7`. */
export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant: string | null;
}

export interface ParsedConfig {
  readonly config: ImageConfig;
  /** Null: nothing is said. */
  readonly platform: Platform | null;
  /** Digests of the layers when they are decompressed. */
  readonly diffIds: readonly string[];
}

export function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  // An array has none of the names that are asked for.
  return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
}

export function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function textsOf(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
}

/** @throws CodedError ERR_BAD_ARCHIVE */
export function parseJson(data: Buffer, name: string): unknown {
  try {
    return JSON.parse(data.toString());
  } catch (cause) {
    throw new CodedError('ERR_BAD_ARCHIVE', `"${name}" is no JSON`, {source: 'client', cause});
  }
}

/** @throws CodedError ERR_BAD_ARCHIVE naming what cannot be used */
export function parseConfig(value: unknown): ParsedConfig {
  const whole = fieldsOf(value);
  const config = fieldsOf(whole['config']);
  return {
    config: {
      entrypoint: textsOf(config['Entrypoint']),
      cmd: textsOf(config['Cmd']),
      env: textsOf(config['Env']).filter((variable) => variable.indexOf('=') > 0),
      user: textOf(config['User']),
      workingDir: textOf(config['WorkingDir']),
      exposedPorts: Object.keys(fieldsOf(config['ExposedPorts'])).flatMap(portsOf),
      labels: Object.fromEntries(Object.entries(fieldsOf(config['Labels'])).filter((label): label is [string, string] => typeof label[1] === 'string')),
      stopSignal: textOf(config['StopSignal']) || null,
    },
    platform: platformOf(whole),
    diffIds: textsOf(fieldsOf(whole['rootfs'])['diff_ids']),
  };
}

/** `80`, `80/tcp`, `5000-5010/udp`; other protocols cannot be reached through a gateway. */
function portsOf(written: string): ImageConfig['exposedPorts'] {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?(?:\/(\w+))?$/.exec(written);
  if (match === null) throw new CodedError('ERR_BAD_ARCHIVE', `its configuration exposes "${written}", which is no port`, {source: 'client'});
  const [first, last] = [Number(match[1]), Number(match[2] ?? match[1])];
  const protocol = match[3] ?? 'tcp';
  if (first < 1 || last < first || last > 65_535) {
    throw new CodedError('ERR_BAD_ARCHIVE', `its configuration exposes "${written}", which is no port`, {source: 'client'});
  }
  if (protocol !== 'tcp' && protocol !== 'udp') return [];
  return Array.from({length: last - first + 1}, (_, index) => ({protocol, port: first + index}));
}

/** @returns null when it says nothing */
export function platformOf(value: unknown): Platform | null {
  const {os, architecture, variant} = fieldsOf(value);
  if (textOf(os) === '' || textOf(architecture) === '') return null;
  return {os: textOf(os), architecture: textOf(architecture), variant: textOf(variant) || null};
}

export function platformText({os, architecture, variant}: Platform): string {
  return variant === null ? `${os}/${architecture}` : `${os}/${architecture}/${variant}`;
}

/** @throws CodedError ERR_BAD_PLATFORM */
export function parsePlatform(text: string): Platform {
  const [os = '', architecture = '', variant, ...rest] = text.split('/');
  if (/^[a-z0-9]+$/.test(os) && /^[a-z0-9_]+$/.test(architecture) && rest.length === 0) return {os, architecture, variant: variant ?? null};
  throw new CodedError('ERR_BAD_PLATFORM', `Cannot use platform "${text}": OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT is expected, as linux/arm64`, {
    source: 'client',
  });
}

const architectures: Readonly<Record<string, string>> = {x64: 'amd64', ia32: '386', loong64: 'loong64', ppc64: 'ppc64le'};

/** This machine's. */
export function ownPlatform(): Platform {
  return {os: 'linux', architecture: architectures[process.arch] ?? process.arch, variant: null};
}

/** What a variant is when none is written. */
const usualVariants: Readonly<Record<string, string>> = {arm64: 'v8', arm: 'v7', amd64: 'v1'};

export function fits(offered: Platform, wanted: Platform): boolean {
  const variant = ({architecture, variant: written}: Platform): string | undefined => written ?? usualVariants[architecture];
  return offered.os === wanted.os && offered.architecture === wanted.architecture && variant(offered) === variant(wanted);
}
