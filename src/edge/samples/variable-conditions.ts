/** The conditions of `set-var` (HAProxy's manual, section 7.3.1). */
import type {SetVariable, VariableCondition} from '../../config/rules.ts';
import type {Variables} from './context.ts';
import type {Found} from './value.ts';

/** Whether all conditions are met. */
export function mayStore(variables: Variables, {name, conditions}: Pick<SetVariable, 'name' | 'conditions'>, value: Found): boolean {
  if (conditions.length === 0) return true;
  const before = variables.get(name);
  // Those of the process exist as soon as the configuration names them.
  const exists = before !== null || name.startsWith('proc.');
  const length = value.type === 'str' || value.type === 'bin' ? value.value.length : null;
  const numbers = before?.type === 'int' && value.type === 'int' ? ([before.value, value.value] as const) : null;
  const holds = (condition: VariableCondition): boolean => {
    switch (condition) {
      case 'ifexists':
        return exists;
      case 'ifnotexists':
        return !exists;
      case 'ifempty':
        return length === 0;
      case 'ifnotempty':
        return length !== 0;
      case 'ifset':
        return before !== null;
      case 'ifnotset':
        return before === null;
      case 'ifgt':
        return numbers === null || numbers[0] > numbers[1];
      case 'iflt':
        return numbers === null || numbers[0] < numbers[1];
      default:
        return condition satisfies never;
    }
  };
  return conditions.every(holds);
}
