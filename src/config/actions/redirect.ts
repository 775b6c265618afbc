/** `redirect` and `http-request redirect`. */
import {type Arguments, ConfigError} from '../arguments.ts';
import {atCondition} from '../expression/condition.ts';
import type {RedirectAction} from '../rules.ts';
import type {Format} from '../sample.ts';
import {didYouMean} from '../suggestion.ts';
import {takeFormat} from './common-actions.ts';

const codes = [301, 302, 303, 307, 308] as const;
const options = ['location', 'prefix', 'scheme', 'code', 'drop-query', 'append-slash', 'ignore-empty', 'set-cookie', 'clear-cookie', 'keep-query'];

export function readRedirect(args: Arguments): RedirectAction {
  let target: {readonly to: RedirectAction['to']; readonly value: Format} | null = null;
  let code: RedirectAction['code'] = 302;
  const flags = {dropQuery: false, appendSlash: false, ignoreEmpty: false};
  const cookies: {setCookie: string | null; clearCookie: string | null} = {setCookie: null, clearCookie: null};
  while (!atCondition(args)) {
    const word = args.take('<option>');
    switch (word.text) {
      case 'location':
      case 'prefix':
      case 'scheme':
        target = {to: word.text, value: takeFormat(args, '<target>')};
        break;
      case 'code':
        code = takeCode(args);
        break;
      case 'drop-query':
        flags.dropQuery = true;
        break;
      case 'append-slash':
        flags.appendSlash = true;
        break;
      case 'ignore-empty':
        flags.ignoreEmpty = true;
        break;
      case 'set-cookie':
        cookies.setCookie = args.take('<name>[=<value>]').text;
        break;
      case 'clear-cookie':
        cookies.clearCookie = args.take('<name>[=]').text;
        break;
      default:
        throw args.invalid(word, `unknown option of a redirect${didYouMean(word.text, options)}`);
    }
  }
  if (target === null) throw new ConfigError(`'${args.keyword}' expects 'location', 'prefix' or 'scheme'`, args.position, args.keyword);
  return {kind: 'redirect', ...target, code, ...flags, ...cookies};
}

function takeCode(args: Arguments): RedirectAction['code'] {
  const word = args.take('<code>');
  const code = codes.find((known) => String(known) === word.text);
  if (code === undefined) throw args.invalid(word, `one of ${codes.join(', ')} is expected`);
  return code;
}
