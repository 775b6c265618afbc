/** The conditions of `.if` and of `-cc`: predicates with `!`, `&&`, `||` and parentheses. */
import {readArgumentList} from '../expression/argument-list.ts';
import {type Environment, lexLine} from '../lex.ts';
import {didYouMean} from '../suggestion.ts';

/** The version of HAProxy whose language this is. */
export const languageVersion = '2.6.0';

/** What `feature()` says yes to, among HAProxy's names and one of our own. */
export const features: ReadonlySet<string> = new Set(['PICOGATE', 'OPENSSL', 'ZLIB', 'GETADDRINFO', 'TPROXY', 'LINUX_TPROXY', 'EPOLL', 'POLL', 'SYSTEMD']);

export type Verdict = {readonly ok: true; readonly value: boolean} | {readonly ok: false; readonly reason: string};

/** Evaluates a condition as it stands in a file or on a command line: variables are expanded, and quotes taken away, before it is read. */
export function evaluateWritten(text: string, env: Environment): Verdict {
  const line = lexLine(text, {file: '', line: 1, section: '', env});
  return line.ok ? evaluateCondition(line.words.map((word) => word.text).join(' '), env) : {ok: false, reason: line.message};
}

/** Evaluates a condition; nothing at all is false. Anything that is evaluated without need is read, too, so that errors show. */
export function evaluateCondition(text: string, env: Environment): Verdict {
  try {
    const reader = new ConditionReader(text, env);
    return {ok: true, value: reader.run()};
  } catch (error) {
    if (!(error instanceof ConditionError)) throw error;
    return {ok: false, reason: error.message};
  }
}

/** Never leaves this file. */
class ConditionError extends Error {}

const predicateName = /[A-Za-z_][A-Za-z0-9_]*/y;
const integer = /-?\d+/y;
const blank = /\s*/y;
const deepest = 100;

class ConditionReader {
  readonly #text: string;
  readonly #env: Environment;
  #at = 0;
  #depth = 0;

  constructor(text: string, env: Environment) {
    this.#text = text;
    this.#env = env;
  }

  run(): boolean {
    this.#match(blank);
    if (this.#at >= this.#text.length) return false;
    const value = this.#or();
    if (this.#at < this.#text.length) throw new ConditionError(`unexpected '${this.#text.slice(this.#at)}' at position ${this.#at + 1}`);
    return value;
  }

  #or(): boolean {
    let value = this.#and();
    while (this.#take('||')) value = this.#and() || value;
    return value;
  }

  #and(): boolean {
    let value = this.#term();
    while (this.#take('&&')) value = this.#term() && value;
    return value;
  }

  #term(): boolean {
    if (this.#take('!')) return !this.#nested(() => this.#term());
    if (this.#take('(')) {
      const value = this.#nested(() => this.#or());
      if (!this.#take(')')) throw new ConditionError("missing ')'");
      return value;
    }
    const number = this.#match(integer);
    if (number !== '') {
      this.#match(blank);
      return Number(number) !== 0;
    }
    return this.#predicate();
  }

  #nested(read: () => boolean): boolean {
    this.#depth++;
    if (this.#depth > deepest) throw new ConditionError('it is nested too deep');
    const value = read();
    this.#depth--;
    return value;
  }

  #predicate(): boolean {
    const name = this.#match(predicateName);
    const predicate = Object.hasOwn(predicates, name) ? predicates[name] : undefined;
    if (predicate === undefined) {
      const found = name === '' ? this.#text.slice(this.#at) : name;
      throw new ConditionError(
        found === '' ? 'a condition is expected at its end' : `unknown predicate '${found}'${didYouMean(found, Object.keys(predicates))}`,
      );
    }
    if (this.#text.charAt(this.#at) !== '(') throw new ConditionError(`'(' is expected after '${name}'`);
    const list = readArgumentList(this.#text, this.#at + 1);
    if (!list.ok) throw new ConditionError(`'${name}': ${list.reason}`);
    if (list.args.length !== predicate.arguments) throw new ConditionError(`'${name}' takes ${predicate.arguments} arguments, found ${list.args.length}`);
    this.#at = list.end;
    this.#match(blank);
    return predicate.holds(list.args[0] ?? '', list.args[1] ?? '', this.#env);
  }

  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0] ?? '';
    this.#at += found.length;
    return found;
  }

  #take(token: string): boolean {
    if (!this.#text.startsWith(token, this.#at)) return false;
    this.#at += token.length;
    this.#match(blank);
    return true;
  }
}

interface Predicate {
  readonly arguments: number;
  readonly holds: (first: string, second: string, env: Environment) => boolean;
}

const predicates: Readonly<Record<string, Predicate>> = {
  defined: {arguments: 1, holds: (name, _, env) => Object.hasOwn(env, name) && env[name] !== undefined},
  feature: {arguments: 1, holds: (name) => features.has(name)},
  streq: {arguments: 2, holds: (first, second) => first === second},
  strneq: {arguments: 2, holds: (first, second) => first !== second},
  strstr: {arguments: 2, holds: (first, second) => first.includes(second)},
  version_atleast: {arguments: 1, holds: (version) => compareVersions(languageVersion, version) >= 0},
  version_before: {arguments: 1, holds: (version) => compareVersions(languageVersion, version) < 0},
  openssl_version_atleast: {arguments: 1, holds: (version) => compareVersions(process.versions.openssl, version) >= 0},
  openssl_version_before: {arguments: 1, holds: (version) => compareVersions(process.versions.openssl, version) < 0},
  ssllib_name_startswith: {arguments: 1, holds: (name) => 'OpenSSL'.startsWith(name)},
};

/** By the numbers in them: `2.6-dev3` counts as 2.6. @throws ConditionError for what does not begin with a number */
function compareVersions(a: string, b: string): number {
  const [first, second] = [numbersOf(a), numbersOf(b)];
  for (let index = 0; index < Math.max(first.length, second.length); index++) {
    const difference = (first[index] ?? 0) - (second[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

function numbersOf(version: string): readonly number[] {
  const [digits] = /^\d+(?:\.\d+)*/.exec(version) ?? [];
  if (digits === undefined) throw new ConditionError(`'${version}' is not a version`);
  return digits.split('.').map(Number);
}
