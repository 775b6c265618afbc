/** Regular expressions as operators write them for PCRE, in the form that this program runs. */
import type {Parsed} from '../units.ts';
import {refused} from '../units.ts';

const posixClasses: Readonly<Record<string, string>> = {
  alpha: 'A-Za-z',
  digit: '0-9',
  alnum: 'A-Za-z0-9',
  upper: 'A-Z',
  lower: 'a-z',
  space: '\\s',
  blank: ' \\t',
  punct: '!-\\/:-@\\[-`{-~',
  xdigit: '0-9A-Fa-f',
  word: '\\w',
  cntrl: '\\x00-\\x1f\\x7f',
  print: ' -~',
  graph: '!-~',
};

/** Translates what is written differently: flags at the start, POSIX classes, `\A \z \h`, possessive quantifiers and atomic groups are refused. */
export function parseRegex(text: string, {ignoreCase}: {readonly ignoreCase: boolean}): Parsed<RegExp> {
  const [lead = '', letters = ''] = /^\(\?([imsx]+)\)/.exec(text) ?? [];
  if (letters.includes('x')) return refused('the flag x of regular expressions is not supported');
  const source = text
    .slice(lead.length)
    .replace(/\[:(\w+):\]/g, (whole, name: string) => posixClasses[name] ?? whole)
    .replace(/\\(?:[Azh]|.)/gs, (written) => ({'\\A': '^', '\\z': '$', '\\h': '[ \\t]'})[written] ?? written);
  const flags = new Set([...['i', 'm', 's'].filter((flag) => letters.includes(flag)), ...(ignoreCase ? ['i'] : [])]);
  try {
    return {ok: true, value: new RegExp(source, [...flags].join(''))};
  } catch (error) {
    const [, reason = 'invalid'] = /: ([^:]+)$/.exec(error instanceof Error ? error.message : '') ?? [];
    return refused(`regex '${text}' is invalid (${reason})`);
  }
}
