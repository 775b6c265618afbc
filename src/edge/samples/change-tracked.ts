/** The actions that change counters of what a session tracks: `sc-inc-gpc0`, `sc-inc-gpc`, `sc-set-gpt0`, `sc-set-gpt`. */
import type {ChangeTracked} from '../../config/rules.ts';
import type {SampleExpression} from '../../config/sample.ts';
import type {SampleContext, SampleValue} from './context.ts';
import {leadingInteger} from './value.ts';

/** @param compile makes an expression of the rule ready */
export function compileChangeTracked(
  action: ChangeTracked,
  compile: (expression: SampleExpression) => (context: SampleContext) => SampleValue,
): (context: Pick<SampleContext, 'surroundings'> & SampleContext) => void {
  const {counter} = action;
  if (action.kind === 'count-tracked') return ({surroundings}) => void surroundings.trackedValue(counter, `inc_${action.what}`);
  const {value} = action;
  const sample = typeof value === 'number' ? () => ({type: 'int', value}) as const : compile(value);
  return (context) => {
    const found = integerOf(sample(context));
    if (found !== null) context.surroundings.tagTracked(counter, action.what, found);
  };
}

function integerOf(sample: SampleValue): number | null {
  switch (sample?.type) {
    case 'int':
      return sample.value;
    case 'bool':
      return sample.value ? 1 : 0;
    case 'str':
      return leadingInteger(sample.value);
    default:
      return null;
  }
}
