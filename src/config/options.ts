/** `option [value]...` to the end of a line: of `bind`, `server`, `cookie`, `stick-table` and the like. */
import {type Arguments, ConfigError} from './arguments.ts';
import {didYouMean} from './suggestion.ts';

export interface OptionSpec<Draft> {
  /** What follows the option, for the reference. */
  readonly usage?: string;
  readonly apply: (draft: Draft, args: Arguments) => void;
}

export interface OptionTable<Draft> {
  readonly known: Readonly<Record<string, OptionSpec<Draft>>>;
  /** Without effect on what the program does, and how many values follow each. */
  readonly ignored: ReadonlyMap<string, number>;
  /** Refused by name. */
  readonly later: ReadonlySet<string>;
}

/** @throws ConfigError */
export function readOptions<Draft>(args: Arguments, table: OptionTable<Draft>, draft: Draft): Draft {
  while (!args.atEnd) {
    const word = args.take('<option>');
    const spec = Object.hasOwn(table.known, word.text) ? table.known[word.text] : undefined;
    const ignoredValues = table.ignored.get(word.text);
    if (spec !== undefined) {
      spec.apply(draft, args);
    } else if (ignoredValues !== undefined) {
      for (let count = 0; count < ignoredValues; count++) args.take(`the value of '${word.text}'`);
      args.warn(word, `'${word.text}' of '${args.keyword}' has no effect here`);
    } else if (table.later.has(word.text)) {
      throw new ConfigError(`'${word.text}' of '${args.keyword}' is not implemented yet`, word.position, word.text);
    } else {
      const names = [...Object.keys(table.known), ...table.ignored.keys(), ...table.later];
      throw new ConfigError(`unknown option '${word.text}' of '${args.keyword}'${didYouMean(word.text, names)}`, word.position, word.text);
    }
  }
  return draft;
}

/** An option without a value. */
export function flag<Draft>(apply: (draft: Draft) => void): OptionSpec<Draft> {
  return {apply: (draft) => apply(draft)};
}

export function words(text: string): readonly string[] {
  return text.trim().split(/\s+/);
}
