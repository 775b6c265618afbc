/** What `picogate app add` was given, as sections of the configuration: from there on an added app is like any other. */
import {resolve} from 'node:path';
import {CodedError} from '../core/errors.ts';

export interface AppOptions {
  readonly image?: string | undefined;
  readonly rootfs?: string | undefined;
  /** A command line as the configuration has it. */
  readonly exec?: string | undefined;
  /** `tcp:80` */
  readonly expose: readonly string[];
  /** `8080:80`, `127.0.0.1:8080:80`, `5353:53/udp` */
  readonly publish: readonly string[];
  readonly memory?: string | undefined;
  readonly cpus?: string | undefined;
  readonly pids?: string | undefined;
  readonly hibernateAfter?: string | undefined;
  readonly user?: string | undefined;
  readonly workdir?: string | undefined;
  /** `NAME=VALUE` */
  readonly env: readonly string[];
  /** `SOURCE:DESTINATION[:ro]` */
  readonly volume: readonly string[];
  /** Any other line of a section `app`. */
  readonly set: readonly string[];
}

function refuse(name: string, found: string): CodedError {
  return new CodedError('ERR_BAD_ARGUMENT', `Cannot add app "${name}": ${found}`, {source: 'client'});
}

/** A word for the configuration, which reads it as exactly this. */
export function quoted(word: string): string {
  if (/^[A-Za-z0-9_.:/@%+=,-]+$/.test(word)) return word;
  return word.includes("'") ? `"${word.replaceAll(/[\\"$]/g, '\\$&')}"` : `'${word}'`;
}

interface Published {
  readonly address: string;
  readonly port: string;
  readonly appPort: string;
  readonly protocol: 'tcp' | 'udp';
}

function parsePublished(name: string, written: string): Published {
  const match = /^(?:(\[[0-9A-Fa-f:.]+\]|[^:/]*):)?(\d+):(\d+)(?:\/(tcp|udp))?$/.exec(written);
  if (match === null) throw refuse(name, `"${written}" is not to be published, [ADDRESS:]PORT:APPPORT[/udp] is expected`);
  const [, address = '', port = '', appPort = '', protocol] = match;
  return {address, port, appPort, protocol: protocol === 'udp' ? 'udp' : 'tcp'};
}

function parseExposed(name: string, written: string): string {
  const match = /^(tcp|udp):(\d+)$/.exec(written) ?? /^(\d+)(?:\/(tcp|udp))?$/.exec(written);
  if (match === null) throw refuse(name, `"${written}" is no port, tcp:80 is expected`);
  const [, first = '', second] = match;
  return /^\d/.test(first) ? `${second ?? 'tcp'} ${first}` : `${first} ${second}`;
}

function parseVolume(written: string): string {
  const [source = '', ...rest] = written.split(':');
  return [resolve(source), ...rest].join(':');
}

/** @throws CodedError ERR_BAD_ARGUMENT for what could not be written as a configuration; whether that is right is found out when it is read */
export function appSections(name: string, options: AppOptions): string {
  const published = options.publish.map((written) => parsePublished(name, written));
  const lines = [`app ${quoted(name)}`];
  const say = (keyword: string, value: string | undefined): void => {
    if (value !== undefined) lines.push(`    ${keyword} ${quoted(value)}`);
  };
  say('image', options.image);
  say('rootfs', options.rootfs === undefined ? undefined : resolve(options.rootfs));
  if (options.exec !== undefined) lines.push(`    exec ${options.exec}`);
  for (const written of options.expose) lines.push(`    expose ${parseExposed(name, written)}`);
  say('memory', options.memory);
  say('cpus', options.cpus);
  say('pids', options.pids);
  say('hibernate-after', options.hibernateAfter);
  say('user', options.user);
  say('workdir', options.workdir);
  for (const variable of options.env) say('env', variable);
  for (const written of options.volume) say('volume', parseVolume(written));
  for (const line of options.set) lines.push(`    ${line}`);
  for (const {address, port, appPort, protocol} of published) {
    lines.push(
      `listen ${quoted(`${name}-${protocol === 'udp' ? 'udp-' : ''}${port}`)}`,
      `    mode ${protocol}`,
      `    bind ${protocol === 'udp' ? 'udp@' : ''}${address}:${port}`,
      `    server app app:${quoted(name)}:${appPort}`,
    );
  }
  const broken = lines.find((line) => /[\n\r]/.test(line));
  if (broken !== undefined) throw refuse(name, `"${broken.trim()}" has more than one line`);
  return `${lines.join('\n')}\n`;
}
