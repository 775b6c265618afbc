import {readFile} from 'node:fs/promises';
import test from 'ava';

interface LockedPackage {
  readonly dependencies?: Record<string, string>;
  readonly optionalDependencies?: Record<string, string>;
}

// `npm install` leaves optional packages for other systems out when a registry does not have them, and then `npm ci` calls
// the file incomplete. They are of no use here: take their names out of `optionalDependencies` in package-lock.json.
test('package-lock.json has an entry for every package that one of its entries names', async (t) => {
  const lock = JSON.parse(await readFile(new URL('../../package-lock.json', import.meta.url), 'utf8')) as {packages: Record<string, LockedPackage>};
  const locked = new Set(Object.keys(lock.packages).map((path) => path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length)));
  const absent = Object.entries(lock.packages).flatMap(([path, {dependencies, optionalDependencies}]) =>
    Object.keys({...dependencies, ...optionalDependencies})
      .filter((name) => !locked.has(name))
      .map((name) => `${path}: ${name}`),
  );
  t.deepEqual(absent, []);
});
