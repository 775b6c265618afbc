import test from 'ava';
import {circles, importsOf, objectionTo} from '../../tools/check-imports.ts';

const cases = [
  {file: 'src/nat/nat.ts', text: "import {x} from '../core/errors.ts'", refused: null},
  {file: 'src/nat/nat.ts', text: "import {x} from './links.ts'", refused: null},
  {file: 'src/nat/nat.ts', text: "import {x} from 'node:net'", refused: null},
  {file: 'src/nat/nat.ts', text: "import type {X} from '../pager/page-table.ts'", refused: /src\/nat may not import from src\/pager/},
  {file: 'src/nat/nat.ts', text: "export * from '../cli/main.ts'", refused: /may not import from src\/cli/},
  {file: 'src/core/log.ts', text: "const x = await import('../config/load.ts')", refused: /src\/core may not import from src\/config/},
  {file: 'src/core/command.ts', text: "import {spawn} from 'node:child_process'", refused: null},
  {file: 'src/nat/nat.ts', text: "import {spawn} from 'node:child_process'", refused: /only src\/core\/command.ts/},
  {file: 'src/nat/nat.ts', text: "import {spawn} from 'child_process'", refused: /write "node:child_process"/},
  {file: 'src/nat/nat.ts', text: "import x from 'left-pad/deep'", refused: /package "left-pad" is not in/},
  {file: 'src/nat/nat.ts', text: "import x from '@scope/name/deep'", refused: /package "@scope\/name" is not in/},
  {file: 'src/edge/tcp.ts', text: "import {Redis} from 'ioredis'", refused: /only src\/store/},
] as const;

for (const {file, text, refused} of cases) {
  test(`objectionTo() ${refused === null ? 'accepts' : 'refuses'} \`${text}\` in ${file}`, (t) => {
    const [found, ...others] = importsOf(file, text);
    t.is(others.length, 0);
    if (found === undefined) return t.fail('no import found');
    const objection = objectionTo(found);
    if (refused === null) t.is(objection, null);
    else t.regex(objection ?? '', refused);
  });
}

test('circles() finds a circle of three files and leaves a diamond alone', (t) => {
  const edge = (file: string, target: string) => ({file, target, kind: 'file'}) as const;
  t.deepEqual(circles([edge('a', 'b'), edge('a', 'c'), edge('b', 'd'), edge('c', 'd')]), []);
  t.deepEqual(circles([edge('z', 'a'), edge('a', 'b'), edge('b', 'c'), edge('c', 'a')]), [['a', 'b', 'c']]);
});
