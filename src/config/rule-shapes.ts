/** Lines that are a rule of one action: `redirect`. */
import type {Arguments} from './arguments.ts';
import {readCondition} from './expression/condition.ts';
import type {Rule} from './rules.ts';
import type {Shape} from './shapes.ts';

export function redirectRule<Action>(read: (args: Arguments) => Action): Shape<Rule<Action>> {
  return {
    usage: 'location | prefix | scheme <format> [code <code>] [<option>...] [if | unless <condition>]',
    read: (args) => ({action: read(args), condition: readCondition(args), position: args.position}),
  };
}
