/** `http-check set-var(...)`, `tcp-check unset-var(...)` and the like: variables for the later steps of a health check. */
import {variableActions} from './actions/common-actions.ts';
import type {SetVariable, UnsetVariable} from './rules.ts';
import type {Shape} from './shapes.ts';

const usages = {
  'set-var': '(<name>[,<condition>]...) <sample>',
  'set-var-fmt': '(<name>[,<condition>]...) <format>',
  'unset-var': '(<name>)',
} as const satisfies Readonly<Record<keyof typeof variableActions, string>>;

function variableStep(name: keyof typeof usages): Shape<SetVariable | UnsetVariable> {
  return {
    usage: usages[name],
    read(args) {
      const word = args.take(`${name}${usages[name]}`);
      const [, called, argument = ''] = /^([^(]+)\((.*)\)$/s.exec(word.text) ?? [];
      if (called !== name) throw args.invalid(word, `${name}${usages[name]} is expected`);
      return variableActions[name](args, {name, argument});
    },
  };
}

export const setVariableStep = variableStep('set-var');
export const setVariableFormatStep = variableStep('set-var-fmt');
export const unsetVariableStep = variableStep('unset-var');
