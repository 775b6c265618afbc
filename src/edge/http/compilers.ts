/** How what the configuration says about traffic becomes functions: the evaluator of expressions, as far as rules need it. */
import type {Condition, Format, SampleExpression} from '../../config/sample.ts';
import type {FormatUse} from '../samples/compile-format.ts';
import type {SampleContext, SampleValue} from '../samples/context.ts';
import type {PatternList} from '../samples/pattern-lists.ts';

export interface Compilers {
  condition(condition: Condition): (context: SampleContext) => boolean;
  expression(expression: SampleExpression): (context: SampleContext) => SampleValue;
  format(format: Format, use: FormatUse): (context: SampleContext) => string;
  /** A regular expression of the configuration. */
  regex(pattern: string, flags?: string): RegExp;
  /** What was made of a file of patterns, or of a map, so far. */
  patternLists(file: string): readonly PatternList[];
}
