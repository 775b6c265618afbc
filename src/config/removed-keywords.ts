/** Keywords that HAProxy has dropped and old configurations still have: each becomes its modern form, with a warning. */
import {ConfigError} from './arguments.ts';
import type {Word} from './lex.ts';

/** @returns the words of the modern line. @throws ConfigError for a line that has no simple modern form */
type Translation = (first: Word, rest: readonly Word[]) => readonly Word[];

function renamed(modern: string): Translation {
  return (first, rest) => [...modern.split(' ').map((text) => ({text, position: first.position})), ...rest];
}

/** `reqadd "X-A: b" [if ...]` */
function addHeader(family: 'http-request' | 'http-response'): Translation {
  return (first, [line, ...rest]) => {
    const [, name, value] = /^([^\s:]+):\s*(.*)$/s.exec(line?.text ?? '') ?? [];
    if (line === undefined || name === undefined || value === undefined) throw refuse(first, `use '${family} add-header'`);
    return made(first, [family, 'add-header', name, value.replaceAll('%', '%%')], rest);
  };
}

/** `reqidel ^X-Name:.*` */
function deleteHeader(family: 'http-request' | 'http-response', ignoreCase: boolean): Translation {
  return (first, [pattern, ...rest]) => {
    const [, name] = /^\^([A-Za-z0-9-]+):?(?:\.\*)?\$?$/.exec(pattern?.text ?? '') ?? [];
    const whole = /:/.test(pattern?.text ?? '');
    if (pattern === undefined || name === undefined) throw refuse(first, `use '${family} del-header'`);
    const flag = ignoreCase ? '(?i)' : '';
    return whole ? made(first, [family, 'del-header', name], rest) : made(first, [family, 'del-header', `${flag}^${name}`, '-m', 'reg'], rest);
  };
}

/** `reqrep` on a header `^Name:...`, or on a request line whose method is kept: `^([^\ ]*)\ /a(.*)  \1\ /b\2`. */
function replaceInRequest(ignoreCase: boolean): Translation {
  return (first, [pattern, replacement, ...rest]) => {
    if (pattern === undefined || replacement === undefined) throw refuse(first, "use 'http-request replace-header' or 'http-request replace-uri'");
    const flag = ignoreCase ? '(?i)' : '';
    const [, name, search] = /^\^([A-Za-z0-9-]+):\\? ?\*?(.*)$/s.exec(pattern.text) ?? [];
    if (name !== undefined && search !== undefined) {
      const [, sameName = '', value] = /^([A-Za-z0-9-]+):\s*(.*)$/s.exec(replacement.text) ?? [];
      if (value === undefined || sameName.toLowerCase() !== name.toLowerCase()) throw refuse(first, "use 'http-request replace-header'");
      return made(first, ['http-request', 'replace-header', name, `${flag}^${search}`, escapePercent(value)], rest);
    }
    const [, uri] = /^\^\(\[\^(?:\\? |\\? :|:\\? )\]\*\)\\? (.*)$/s.exec(pattern.text) ?? [];
    const [, newUri] = /^\\1\\? (.*)$/s.exec(replacement.text) ?? [];
    if (uri === undefined || newUri === undefined) throw refuse(first, "use 'http-request replace-uri', 'replace-path' or 'replace-header'");
    // The first group, the method, is gone: the others move up.
    const moved = newUri.replace(/\\(\d)/g, (_, digit: string) => `\\${Number(digit) - 1}`);
    return made(first, ['http-request', 'replace-uri', `${flag}^${uri}`, escapePercent(moved)], rest);
  };
}

function escapePercent(text: string): string {
  return text.replaceAll('%', '%%');
}

function made({position}: Word, texts: readonly string[], rest: readonly Word[]): readonly Word[] {
  return [...texts.map((text) => ({text, position})), ...rest];
}

function refuse(first: Word, instead: string): ConfigError {
  return new ConfigError(`'${first.text}' is no longer supported: ${instead}`, first.position, first.text);
}

const translations: Readonly<Record<string, Translation>> = {
  contimeout: renamed('timeout connect'),
  clitimeout: renamed('timeout client'),
  srvtimeout: renamed('timeout server'),
  'timeout contimeout': renamed('timeout connect'),
  'timeout clitimeout': renamed('timeout client'),
  'timeout srvtimeout': renamed('timeout server'),
  block: renamed('http-request deny'),
  redispatch: renamed('option redispatch'),
  reqadd: addHeader('http-request'),
  rspadd: addHeader('http-response'),
  reqdel: deleteHeader('http-request', false),
  reqidel: deleteHeader('http-request', true),
  rspdel: deleteHeader('http-response', false),
  rspidel: deleteHeader('http-response', true),
  reqrep: replaceInRequest(false),
  reqirep: replaceInRequest(true),
};

export const removedKeywords: readonly string[] = Object.keys(translations);

/** @returns null for a line that is not of this kind. @throws ConfigError */
export function modernForm(first: Word, rest: readonly Word[]): {readonly old: string; readonly words: readonly Word[]} | null {
  const [second, ...others] = rest;
  const both = `${first.text} ${second?.text ?? ''}`;
  const name = Object.hasOwn(translations, both) ? both : first.text;
  const translation = Object.hasOwn(translations, name) ? translations[name] : undefined;
  if (translation === undefined) return null;
  return {old: name, words: translation(first, name === both ? others : rest)};
}
