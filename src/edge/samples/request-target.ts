/** The parts of a request target: RFC 9112, section 3.2. */

/** The path with its query; null: the target has none, as `*` and `host:port`. */
export function pathAndQuery(uri: string): string | null {
  if (uri.startsWith('/')) return uri;
  const scheme = uri.indexOf('://');
  if (scheme < 0) return null;
  const slash = uri.indexOf('/', scheme + 3);
  return slash < 0 ? null : uri.slice(slash);
}

export function pathOf(uri: string): string | null {
  const path = pathAndQuery(uri);
  if (path === null) return null;
  const question = path.indexOf('?');
  return question < 0 ? path : path.slice(0, question);
}

/** What follows the first `?`; null: there is none. */
export function queryOf(uri: string): string | null {
  const question = uri.indexOf('?');
  return question < 0 ? null : uri.slice(question + 1);
}

/**
 * The values of a parameter, as they are in the URL.
 * @param name `''`: of all parameters
 * @param delimiter where parameters begin
 */
export function parameterValues(uri: string, name: string, delimiter: string): string[] {
  const start = uri.indexOf(delimiter);
  return start < 0 ? [] : parametersIn(uri.slice(start + 1), name, delimiter);
}

/** The values of a parameter in `a=1&b=2`. */
export function parametersIn(text: string, name: string, delimiter: string): string[] {
  const values: string[] = [];
  for (const part of text.split(delimiter === '?' ? /[&;?]/ : new RegExp(`[&;\\x${delimiter.charCodeAt(0).toString(16).padStart(2, '0')}]`))) {
    const equals = part.indexOf('=');
    if (equals < 0) continue;
    if (name === '' || part.slice(0, equals) === name) values.push(part.slice(equals + 1));
  }
  return values;
}
