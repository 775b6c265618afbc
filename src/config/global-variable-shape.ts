/** `set-var` and `set-var-fmt` of `global`: variables of the process, which are set before anything is served. */
import {variableActions} from './actions/common-actions.ts';
import {type Arguments, ConfigError} from './arguments.ts';
import type {SetVariable} from './rules.ts';
import type {SampleExpression} from './sample.ts';
import type {Shape} from './shapes.ts';

/** Fetches that need no session. */
const sessionless: ReadonlySet<string> = new Set('always_false always_true bin bool date date_us env hostname int ipv4 ipv6 meth rand str uuid var'.split(' '));

const usages = {'set-var': 'proc.<name>[,<condition>]... <sample>', 'set-var-fmt': 'proc.<name>[,<condition>]... <format>'} as const;

function globalVariable(name: keyof typeof usages): Shape<SetVariable> {
  return {
    usage: usages[name],
    read(args) {
      const word = args.take('proc.<name>');
      const action = variableActions[name](args, {name, argument: word.text});
      if (!action.name.startsWith('proc.')) throw args.invalid(word, "only variables of the process, such as 'proc.name', can be set here");
      checkFetches(args, action.value);
      return action;
    },
  };
}

function checkFetches(args: Arguments, value: SetVariable['value']): void {
  const unknown = expressionsOf(value).find(({fetch}) => !sessionless.has(fetch.name));
  if (unknown === undefined) return;
  throw new ConfigError(`'${args.keyword}': '${unknown.fetch.name}' is about a session, of which there is none here`, args.position, unknown.text);
}

function expressionsOf(value: SetVariable['value']): readonly SampleExpression[] {
  if (value.kind === 'expression') return [value.expression];
  return value.format.flatMap((part) => (part.kind === 'sample' ? [part.expression] : []));
}

export const processVariable = globalVariable('set-var');
export const processVariableFormat = globalVariable('set-var-fmt');
