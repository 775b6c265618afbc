import {readdirSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import test from 'ava';
import {keywordNames, keywords, writtenAs} from '../../src/config/keywords.ts';
import {loadConfig} from '../../src/config/load.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

const directory = join(import.meta.dirname, '../../config');

for (const file of readdirSync(directory)) {
  test(`config/${file} is valid without a warning`, async (t) => {
    await using rootfs = await temporaryDirectory();
    const {config, diagnostics} = await loadConfig([join(directory, file)], {env: {PICOGATE_ROOTFS: rootfs.path}});
    t.deepEqual(diagnostics, []);
    t.truthy(config);
    for (const app of config?.apps ?? []) t.deepEqual(app.root, {kind: 'directory', path: rootfs.path});
  });
}

test("the examples show every keyword of ours; HAProxy's are in its own manual", (t) => {
  const text = readdirSync(directory)
    .map((file) => readFileSync(join(directory, file), 'utf8'))
    .join('\n');
  const shown = (name: string): boolean => new RegExp(`^[\\s#]*${name.replace(' ', ' +')}(?: |$)`, 'm').test(text);
  t.deepEqual(
    keywordNames.filter((name) => keywords[name].origin === 'picogate' && !shown(writtenAs(name))),
    [],
  );
});
