/** Variables of the process as the runtime API sees them. */
import {isIPv4} from 'node:net';
import type {VariablesControl} from '../admin/gateway-control.ts';
import {parseRuntimeVariable} from '../config/runtime-variable.ts';
import type {EdgeParts} from '../edge/edge-parts.ts';
import type {SampleValue} from '../edge/samples/context.ts';
import {setProcessVariable} from '../edge/samples/process-variables.ts';
import {type Found, toText} from '../edge/samples/value.ts';

/**
 * @param current the parts of the present generation, which has variables of its own
 * @param told what a variable has become, for other threads
 */
export function variablesControl(current: () => Pick<EdgeParts, 'compiler' | 'entrance'>, told: (name: string, value: SampleValue) => void): VariablesControl {
  return {
    get(name) {
      const value = name.startsWith('proc.') ? current().entrance.contextParts.processVariables.get(name) : null;
      return value === null ? null : {type: typeName(value), text: toText(value)};
    },
    set(name, value) {
      const {compiler, entrance} = current();
      setProcessVariable(parseRuntimeVariable(name, value), {compiler, ...entrance.contextParts});
      told(name, entrance.contextParts.processVariables.get(name));
    },
  };
}

/** HAProxy's names. */
function typeName(value: Found): string {
  switch (value.type) {
    case 'int':
      return 'sint';
    case 'method':
      return 'meth';
    case 'ip':
      return isIPv4(value.value) ? 'ipv4' : 'ipv6';
    case 'str':
    case 'bin':
    case 'bool':
      return value.type;
    default:
      return value satisfies never;
  }
}
