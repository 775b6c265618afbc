/** Lines of cookies, also such that no client has made in good faith. */
import test from 'ava';
import {cookieParts} from '../../../src/edge/http/cookie-parts.ts';
import {fc} from '../../helpers/properties.ts';

test('a line that begins or ends with a delimiter, or has nothing between two, has parts without a name', (t) => {
  const shown = (line: string): string[] => cookieParts(line).map(({delimiter, name, value}) => `${delimiter}${name}:${value ?? '-'}`);
  t.deepEqual(shown(';a=1'), [':-', ';a:1']);
  t.deepEqual(shown('a=1;,b;'), ['a:1', ';:-', ',b:-', ';:-']);
  t.deepEqual(shown('a="1;2", $Path=/'), ['a:"1;2"', ',$Path:-']);
  t.deepEqual(shown(''), []);
});

test('every line ends, and nothing of it is lost but blanks', (t) => {
  const character = fc.constantFrom(';', ',', '=', '"', '\\', '$', ' ', 'a');
  fc.assert(
    fc.property(fc.array(character, {maxLength: 60}), (characters) => {
      const line = characters.join('');
      const together = cookieParts(line)
        .map(({delimiter, text}) => `${delimiter}${text}`)
        .join('');
      t.is(together.replaceAll(' ', ''), line.replaceAll(' ', ''));
    }),
  );
});
