import test from 'ava';
import {compileRegex} from '../../../src/config/expression/regex.ts';
import {formatAddress, parseAddress, parseNetwork} from '../../../src/edge/samples/address.ts';
import {createSampleCompiler} from '../../../src/edge/samples/compile.ts';
import type {SampleContext} from '../../../src/edge/samples/context.ts';
import {createPatternList, parseMapFile} from '../../../src/edge/samples/pattern-lists.ts';
import {fc} from '../../helpers/properties.ts';
import {contextOf, environment} from './sample-fixture.ts';
import {aclTest, condition, expression} from './sample-text.ts';

const regexes: readonly (readonly [pattern: string, matching: readonly string[], other: readonly string[]])[] = [
  ['^a.c$', ['abc', 'a\rc'], ['a\nc', 'abcd']],
  ['(?i)^abc', ['ABC', 'abc'], ['xabc']],
  ['^a(?i)b|c$', ['aB', 'C', 'xC'], ['AB', 'Cx']],
  ['^(?:a(?i)b|c)d$', ['aBd', 'Cd'], ['ABd', 'abD']],
  ['(a(?i)b)c', ['aBc'], ['aBC']],
  ['(?s)a.c', ['a\nc'], ['ac']],
  ['(?i:a)b', ['Ab'], ['AB']],
  ['[[:digit:][:upper:]]+$', ['A1'], ['a']],
  ['[]a]', [']', 'a'], ['b']],
  ['[^]]', ['a'], [']']],
  ['\\Qa.b\\E+', ['a.b'], ['axb']],
  ['\\A\\d+\\z', ['12'], ['12\n', 'a']],
  ['^\\s$', [' ', '\t', '\v'], ['\xa0', 'a']],
  ['(?P<n>a)(?P=n)', ['aa'], ['ab']],
  ['\\x41\\x{42}', ['AB'], ['ab']],
  ['^caf\u00e9$', ['caf\xc3\xa9'], ['caf\xe9']],
  ['a(?#never)b', ['ab'], ['a']],
  ['(?!a)b', ['b'], ['a']],
  ['^/(?:img|css)/\\d{1,3}', ['/img/12'], ['/js/1']],
  ['(?i)^[a-cX-Z_-]+$', ['AbCxyZ_-'], ['d', 'w', '^']],
  ['(?i)^[^a-c]$', ['d', 'D', '-'], ['a', 'B']],
  ['(?i)^[-k]$', ['-', 'k', 'K'], ['l']],
  ['(?i)^[[:upper:]]\\x61\\Qb.\\E\\dd$', ['aaB.1D', 'ZAb.9d'], ['aaB.dd', '1aB.1d']],
  ['(?i)^(ab)\\1$', ['abAB', 'aBAb'], ['abba']],
  ['(?i)^\xe9$', ['\xc3\xa9'], ['\xc3\x89']],
  ['(?i)a(?-i)b', ['Ab'], ['AB']],
  ['^(a)\\g1\\g{1}\\k<n>?(?<n>b)$', ['aaab'], ['aab']],
];

for (const [pattern, matching, other] of regexes) {
  test(`the expression ${pattern} matches as in PCRE`, (t) => {
    const regex = compileRegex(pattern, '');
    t.deepEqual(
      matching.filter((text) => regex.test(text)),
      matching,
    );
    t.deepEqual(
      other.filter((text) => regex.test(text)),
      [],
    );
  });
}

const refused: readonly (readonly [string, string])[] = [
  ['(?>a)', '"(?>" has no counterpart'],
  ['a++', 'possessive quantifiers have no counterpart'],
  ['\\Kx', '\\K has no counterpart'],
  ['(?x)a', 'option "x" in "(?x)" has no counterpart'],
  ['[[:nope:]]', 'character class "[:nope:]" is not known'],
  ['(a', 'Unterminated group'],
  ['[a', 'Unterminated character class'],
  ['(a)\\g{-1}', '"\\g{" has no counterpart'],
  ['\\p{L}', 'properties of Unicode do not apply to bytes'],
];

for (const [pattern, reason] of refused) {
  test(`the expression ${pattern} is refused by name`, (t) => {
    t.throws(() => compileRegex(pattern, ''), {code: 'ERR_REGEX', message: `Cannot compile regular expression "${pattern}": ${reason}`});
  });
}

test('of letters of ASCII, case is ignored as by the flag of JavaScript', (t) => {
  const member = fc.constantFrom('a', 'Z', 'k', '-', '_', 'b-e', 'W-f', '\\d', '\\w', '\\x41', '9');
  const atom = fc.oneof(
    fc.constantFrom('a', 'B', 'k', 'S', '.', '\\d', '\\W', '\\b', '\\x62', '-', '1', '(?i:a)', '(?-i:c)'),
    fc.tuple(fc.constantFrom('[', '[^'), fc.array(member, {minLength: 1, maxLength: 4})).map(([opening, members]) => `${opening}${members.join('')}]`),
  );
  const repeated = fc.tuple(atom, fc.constantFrom('', '*', '+?', '{1,2}')).map((parts) => parts.join(''));
  const pattern = fc
    .array(
      fc.oneof(
        repeated,
        repeated.map((text) => `(${text}|b)`),
      ),
      {minLength: 1, maxLength: 5},
    )
    .map((parts) => parts.join(''));
  const subject = fc.string({unit: fc.constantFrom('a', 'A', 'b', 'B', 'c', 'D', 'f', 'k', 'K', 's', 'W', 'z', '-', '_', '1', '^'), maxLength: 8});
  fc.assert(
    fc.property(pattern, subject, (text, value) => {
      let expected: RegExp;
      try {
        expected = new RegExp(text.replaceAll('.', '[^\\n]'), 'i');
      } catch {
        return void t.throws(() => compileRegex(text, 'i'), {code: 'ERR_REGEX'});
      }
      t.deepEqual(compileRegex(text, 'i').exec(value), expected.exec(value), text);
    }),
    {numRuns: 2000},
  );
});

test('addresses have one form', (t) => {
  const forms = ['10.0.0.1', '::', '::1', '2001:db8::1', '::ffff:1.2.3.4', '::1.2.3.4', '1:0:0:2::', '1:2:3:4:5:6:7:8', '2001:DB8:0:0:1:0:0:1'];
  const shown = forms.map((text) => {
    const address = parseAddress(text);
    return address === null ? null : formatAddress(address);
  });
  t.deepEqual(shown, ['10.0.0.1', '::', '::1', '2001:db8::1', '::ffff:1.2.3.4', '::1.2.3.4', '1:0:0:2::', '1:2:3:4:5:6:7:8', '2001:db8::1:0:0:1']);
  for (const text of ['', '1.2.3', '1.2.3.256', '01.2.3.4', '1.2.3.4.5', '1::2::3', 'g::', ':', '1.2.3.4 ']) t.is(parseAddress(text), null, text);
  for (const text of ['1.2.3.4/33', '::/129', '10.0.0.0/255.0.255.0', 'host/8', '10.0.0.0/']) t.is(parseNetwork(text), null, text);
  t.deepEqual(parseNetwork('10.12'), {address: {family: 4, bits: 0x0a00000c}, prefixLength: 32});
  t.deepEqual(parseNetwork('192.168.1.7/255.255.0.0'), {address: {family: 4, bits: 0xc0a80000}, prefixLength: 16});
});

test('a list that has changed finds what one finds that is made of what is left', (t) => {
  const patterns = ['a', 'A', 'ab', 'abc', '10.0.0.0/8', '10.1.0.0/16', '10.1.2.3', '4142', '61', '7', '5:9'];
  const samples = ['a', 'abcd', 'AB', '10.1.2.3', '10.9.9.9', '7', '8', ''];
  const step = fc.record({
    what: fc.constantFrom('add', 'add', 'add', 'delete', 'remove', 'set', 'clear'),
    pattern: fc.constantFrom(...patterns),
    value: fc.constantFrom('one', 'two'),
    at: fc.nat(9),
  });
  const method = fc.constantFrom('str', 'beg', 'sub', 'ip', 'bin', 'int', 'reg');
  fc.assert(
    fc.property(method, fc.boolean(), fc.array(step, {maxLength: 30}), (how, ignoreCase, steps) => {
      const list = createPatternList('map', ['m'], []);
      const options = {ignoreCase};
      const lookup = list.lookup(how, options);
      let model: {pattern: string; value: string}[] = [];
      for (const {what, pattern, value, at} of steps) {
        if (what === 'add') {
          try {
            list.add(pattern, value);
          } catch {
            continue; // It is no such pattern.
          }
          model.push({pattern, value});
        } else if (what === 'delete') {
          t.is(list.delete(pattern), model.filter((entry) => entry.pattern === pattern).length);
          model = model.filter((entry) => entry.pattern !== pattern);
        } else if (what === 'set') {
          t.is(list.set(pattern, value), model.filter((entry) => entry.pattern === pattern).length);
          for (const entry of model) if (entry.pattern === pattern) entry.value = value;
        } else if (what === 'clear') {
          list.clear();
          model = [];
        } else {
          const entry = list.entries[at];
          t.is(entry !== undefined && list.remove(entry), at < model.length);
          model.splice(at, 1);
        }
        t.deepEqual(list.entries, model);
        const fresh = createPatternList('map', ['m'], model).lookup(how, options);
        for (const text of samples) t.deepEqual(lookup({type: 'str', value: text}), fresh({type: 'str', value: text}), text);
      }
    }),
  );
});

test('a map file has a key, blanks, and a value to the end of its line', (t) => {
  t.deepEqual(parseMapFile('# no\r\n\n  a\t one two \r\nb\n'), [
    {pattern: 'a', value: 'one two'},
    {pattern: 'b', value: ''},
  ]);
});

test('a list that the runtime API changes is changed for all who use it', (t) => {
  const surroundings = environment();
  const compiler = createSampleCompiler(surroundings);
  const files = ['/etc/hosts.lst'];
  const exact = compiler.compileCondition(condition(aclTest('path', 'str', ['/a'], {files})));
  const prefix = compiler.compileCondition(condition(aclTest('path', 'beg', ['/a'], {files})));
  const more = compiler.compileCondition(condition(aclTest('path', 'str', ['/a', '/inline'], {files})));
  const at = (uri: string): SampleContext => contextOf({request: {method: 'GET', uri, version: '1.1', headers: [], body: null}});
  const lists = surroundings.lists.find('acl', '/etc/hosts.lst');
  t.is(lists.length, 2);
  for (const list of lists) list.add('/b', '');
  t.deepEqual(
    [exact, prefix, more].map((holds) => holds(at('/b'))),
    [true, true, true],
  );
  t.deepEqual(
    [exact, prefix, more].map((holds) => holds(at('/bc'))),
    [false, true, false],
  );
  for (const list of lists) t.is(list.delete('/a'), 1);
  t.deepEqual(
    [exact, prefix, more].map((holds) => holds(at('/a'))),
    [false, false, false],
  );
  t.true(more(at('/inline')));
  for (const list of lists) list.clear();
  t.deepEqual(
    [exact, prefix, more].map((holds) => holds(at('/b'))),
    [false, false, false],
  );
});

test('a map gives the value that it has now, and refuses what is no pattern for who uses it', (t) => {
  const lists = environment();
  const compiler = createSampleCompiler({...lists, readFile: () => '10.0.0.0/8 one\n'});
  const map = compiler.compileExpression(expression('src,map_ip(/networks.map,none)'));
  const value = (): unknown => map(contextOf())?.value;
  t.is(value(), 'none');
  const [list] = lists.lists.find('map', '/networks.map');
  t.throws(() => list?.add('nonsense', 'x'), {code: 'ERR_PATTERN'});
  t.is(list?.entries.length, 1);
  list?.add('192.0.2.0/24', 'two');
  t.is(value(), 'two');
  t.is(list?.set('192.0.2.0/24', 'three'), 1);
  t.is(value(), 'three');
});

test('ten thousand exact patterns or networks cost what ten do', (t) => {
  const networks = createPatternList(
    'acl',
    [],
    Array.from({length: 10_000}, (_, index) => ({pattern: `10.${index >> 8}.${index & 255}.0/24`, value: String(index)})),
  );
  const find = networks.lookup('ip', {ignoreCase: false});
  const started = performance.now();
  for (let count = 0; count < 20_000; count++) find({type: 'ip', value: '10.39.15.9'});
  t.is(find({type: 'ip', value: '10.39.15.9'})?.value, '9999');
  t.true(performance.now() - started < 2000);
});

test('patterns that cannot be are refused', (t) => {
  const bad = (method: 'int' | 'ip' | 'bin' | 'len', pattern: string): void => {
    const compiler = createSampleCompiler(environment());
    t.throws(() => compiler.compileCondition(condition(aclTest('str(x)', method, [pattern]))), {
      code: 'ERR_PATTERN',
      message: new RegExp(`^Cannot use pattern "${pattern}": `),
    });
  };
  for (const pattern of ['x', '5:1', ':', 'gt', 'gt x', '1:2:3']) bad('int', pattern);
  for (const pattern of ['host', '1.2.3.4/40']) bad('ip', pattern);
  for (const pattern of ['abc', 'zz']) bad('bin', pattern);
});
