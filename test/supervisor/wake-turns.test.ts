import test, {type ExecutionContext} from 'ava';
import {WakeTurns} from '../../src/supervisor/wake-turns.ts';
import {FakeClock} from '../edge/pool/fake-clock.ts';

interface Queue {
  readonly clock: FakeClock;
  readonly begun: readonly string[];
  readonly take: (name: string) => Promise<Disposable>;
  /** Lets time pass in which processors are idle for so long. */
  readonly pass: (ms: number, idleMs: number) => Promise<void>;
}

function openQueue(): Queue {
  const clock = new FakeClock();
  let idleMs = 5000;
  const turns = new WakeTurns({clock, atATime: 2, lookMs: 100, mostMs: 1000, idleMs: () => idleMs});
  const begun: string[] = [];
  return {
    clock,
    begun,
    async take(name) {
      const turn = await turns.take();
      begun.push(name);
      return turn;
    },
    async pass(ms, idle) {
      idleMs += idle;
      await clock.advance(ms);
    },
  };
}

/** Two that have begun, and two that wait. */
async function fourTurns(t: ExecutionContext): Promise<Queue & {readonly first: Disposable; readonly third: Promise<Disposable>}> {
  const queue = openQueue();
  const [first] = await Promise.all([queue.take('first'), queue.take('second')]);
  const [third] = [queue.take('third'), queue.take('fourth')];
  await queue.pass(0, 0);
  t.deepEqual(queue.begun, ['first', 'second']);
  return {...queue, first, third};
}

test('so many take their turn at a time, in the order in which they asked', async (t) => {
  const {begun, first, third, pass, take} = await fourTurns(t);
  first[Symbol.dispose]();
  first[Symbol.dispose]();
  await pass(0, 0);
  t.deepEqual(begun, ['first', 'second', 'third'], 'and none ends twice');
  (await third)[Symbol.dispose]();
  await pass(0, 0);
  t.deepEqual(begun, ['first', 'second', 'third', 'fourth']);
  void take('fifth');
  await pass(0, 0);
  t.is(begun.length, 4);
});

test('one that takes long while the processors are busy keeps its turn, until it has had it for very long', async (t) => {
  const {begun, pass} = await fourTurns(t);
  for (let passed = 0; passed < 900; passed += 100) await pass(100, 40);
  t.deepEqual(begun, ['first', 'second']);
  await pass(100, 40);
  t.deepEqual(begun, ['first', 'second', 'third', 'fourth']);
});

test('one that takes long while a processor is idle keeps nobody waiting', async (t) => {
  const {clock, begun, first, pass} = await fourTurns(t);
  await pass(100, 400);
  t.deepEqual(begun, ['first', 'second'], 'what was before it was looked at is not known');
  await pass(100, 50);
  t.deepEqual(begun, ['first', 'second', 'third', 'fourth']);
  first[Symbol.dispose]();
  t.is(clock.pending, 2, 'those of the two that have begun just now');
});
