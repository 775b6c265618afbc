/**
 * The second level of quoting: what stands in parentheses after a fetch or converter. Quotes of either kind keep commas and parentheses;
 * outside single quotes a backslash escapes blank, backslash, quotes, r, n and t, and stands for itself before anything else.
 */

export type ArgumentList =
  | {readonly ok: true; readonly args: readonly string[] /** Behind the closing parenthesis. */; readonly end: number}
  | {readonly ok: false; readonly reason: string};

const escaped: Readonly<Record<string, string>> = {' ': ' ', '\\': '\\', "'": "'", '"': '"', r: '\r', n: '\n', t: '\t'};

/** @param at behind the opening parenthesis */
export function readArgumentList(text: string, at: number): ArgumentList {
  const args: string[] = [];
  let argument = '';
  let quote = '';
  for (let index = at; index < text.length; index++) {
    const character = text.charAt(index);
    const meaning = character === '\\' && quote !== "'" ? escaped[text.charAt(index + 1)] : undefined;
    if (meaning !== undefined) {
      argument += meaning;
      index++;
    } else if (quote === '' ? character === '"' || character === "'" : character === quote) {
      quote = quote === '' ? character : '';
    } else if (quote === '' && character === ')') {
      if (args.length > 0 || argument !== '' || index > at) args.push(argument);
      return {ok: true, args, end: index + 1};
    } else if (quote === '' && character === ',') {
      args.push(argument);
      argument = '';
    } else {
      argument += character;
    }
  }
  return {ok: false, reason: quote === '' ? "expected ')'" : `unmatched quote ${quote} in arguments`};
}
