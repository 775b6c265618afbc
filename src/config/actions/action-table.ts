/** Actions of rules by their names: reading one, and a message for a name that is none. */
import {type Arguments, ConfigError} from '../arguments.ts';
import {readCondition} from '../expression/condition.ts';
import type {Rule} from '../rules.ts';
import type {Shape} from '../shapes.ts';
import {didYouMean} from '../suggestion.ts';

/** Reads what follows the name of an action, up to its condition. Null: accepted, but nothing is done. */
export type ActionReader<Action> = (args: Arguments, called: CalledAction) => Action | null;

/** `set-var(txn.a)` is `{name: 'set-var', argument: 'txn.a'}`. */
export interface CalledAction {
  readonly name: string;
  readonly argument: string;
}

export type ActionTable<Action> = Readonly<Record<string, ActionReader<Action>>>;

export interface ActionFamily<Action> {
  readonly actions: ActionTable<Action>;
  /** Names that HAProxy knows and this program refuses. */
  readonly later?: readonly string[];
  /** Names that are accepted and do nothing, with the rest of the line. */
  readonly ignored?: readonly string[];
}

/** The shape of `http-request <action> [if ...]` and the like. Null when the line has no effect. */
export function ruleShape<Action>(family: ActionFamily<Action>): Shape<Rule<Action> | null> {
  return {usage: '<action> [<argument>...] [if | unless <condition>]', read: (args) => readRule(args, family)};
}

function readRule<Action>(args: Arguments, {actions, later = [], ignored = []}: ActionFamily<Action>): Rule<Action> | null {
  const word = args.take('<action>');
  const [, name = word.text, argument = ''] = /^([^(]+)\((.*)\)$/s.exec(word.text) ?? [];
  const reader = Object.hasOwn(actions, name) ? actions[name] : undefined;
  if (ignored.includes(name)) {
    args.warn(word, `'${args.keyword} ${name}' has no effect here`);
    args.takeRest();
    return null;
  }
  if (later.includes(name)) throw new ConfigError(`'${args.keyword} ${name}' is not implemented yet`, word.position, word.text);
  if (name.startsWith('lua.')) throw new ConfigError(`'${args.keyword} ${name}' is not supported: there is no Lua`, word.position, word.text);
  if (reader === undefined) {
    const names = [...Object.keys(actions), ...later, ...ignored];
    throw new ConfigError(`'${args.keyword}' knows no action '${word.text}'${didYouMean(name, names)}`, word.position, word.text);
  }
  const action = reader(args, {name, argument});
  const condition = readCondition(args);
  return action === null ? null : {action, condition, position: args.position};
}

/** An action that has no arguments. */
export function bare<Kind extends string>(kind: Kind): ActionReader<{readonly kind: Kind}> {
  return () => ({kind});
}
