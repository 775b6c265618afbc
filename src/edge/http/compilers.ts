/** How what the configuration says about traffic becomes functions: the evaluator of expressions, as far as rules need it. */
import type {Condition, Format, SampleExpression} from '../../config/sample.ts';
import type {SampleContext, SampleValue} from '../samples/context.ts';

export interface Compilers {
  condition(condition: Condition): (context: SampleContext) => boolean;
  expression(expression: SampleExpression): (context: SampleContext) => SampleValue;
  format(format: Format, use: 'log' | 'value'): (context: SampleContext) => string;
  /** A regular expression of the configuration. */
  regex(pattern: string, flags?: string): RegExp;
}
