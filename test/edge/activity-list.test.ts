import test from 'ava';
import {ActivityList, type Linked} from '../../src/edge/activity-list.ts';
import {fc} from '../helpers/properties.ts';

interface Member extends Linked<Member> {
  readonly name: number;
}

function namesOf(list: ActivityList<Member>): number[] {
  const names: number[] = [];
  for (let member = list.first; member !== null; member = member.next) names.push(member.name);
  return names;
}

test('is what an array would be', (t) => {
  const step = fc.record({action: fc.constantFrom('append', 'remove', 'moveToEnd'), name: fc.integer({min: 0, max: 5})});
  fc.assert(
    fc.property(fc.array(step), (steps) => {
      const members = Array.from({length: 6}, (_, name): Member => ({name, previous: null, next: null}));
      const list = new ActivityList<Member>();
      let expected: number[] = [];
      for (const {action, name} of steps) {
        const member = members[name];
        if (member === undefined || expected.includes(name) === (action === 'append')) continue;
        if (action === 'append') list.append(member);
        else if (action === 'remove') list.remove(member);
        else list.moveToEnd(member);
        expected = expected.filter((other) => other !== name);
        if (action !== 'remove') expected.push(name);
        t.deepEqual(namesOf(list), expected);
      }
    }),
  );
});
