import {readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import test from 'ava';
import {keywordNames, keywords, placesOf, sections, writtenAs} from '../../src/config/keywords.ts';
import {knownKeywords, knownSections} from '../../src/config/known-keywords.ts';
import {renderReference} from '../../src/config/reference.ts';

const reference = join(import.meta.dirname, '../../docs/configuration.md');

test('docs/configuration.md is what the keyword table says; PICOGATE_UPDATE_GOLDEN=1 writes it', (t) => {
  if (process.env['PICOGATE_UPDATE_GOLDEN'] === '1') writeFileSync(reference, renderReference());
  t.is(readFileSync(reference, 'utf8'), renderReference());
});

test('a keyword is not listed as not implemented where it is implemented', (t) => {
  for (const name of keywordNames) for (const kind of placesOf(name)) t.false(knownKeywords(kind).has(writtenAs(name)), `${name} in ${kind}`);
  for (const {kind} of sections) t.false(knownSections.has(kind));
});

test('every keyword has a place, a usage and a description of one line', (t) => {
  for (const name of keywordNames) {
    const {sections: places, shape, description} = keywords[name];
    t.true(places.length > 0, name);
    t.is(typeof shape.usage, 'string', name);
    t.regex(description, /^[A-Z`].*\.$|\)\.$/, name);
  }
});
