/** Apps come and go with the configuration, also while they are still going. */
import test from 'ava';
import type {App} from '../../src/supervisor/app.ts';
import {AppSet} from '../../src/supervisor/app-set.ts';
import {appConfig} from './container-lab.ts';

test('add() opens an app again that comes back while it is closed', async (t) => {
  const said: string[] = [];
  const closing = Promise.withResolvers<void>();
  const apps = new AppSet({
    // The set only keeps them.
    open: async (configs) => configs.map(({name}) => ({opened: said.push(`open ${name}`)}) as unknown as App),
    async close(_app, name) {
      said.push(`close ${name}`);
      await closing.promise;
      said.push(`closed ${name}`);
    },
  });
  const settings = [appConfig({})];
  const name = settings[0]?.name ?? '';
  await apps.add(settings);
  const retired = Promise.all([apps.retire([]), apps.retire([])]);
  const added = apps.add(settings);
  closing.resolve();
  await Promise.all([retired, added]);
  t.deepEqual(said, [`open ${name}`, `close ${name}`, `closed ${name}`, `open ${name}`]);
  t.notThrows(() => apps.find(name));
});
