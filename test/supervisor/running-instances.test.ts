/** The notes on apps that run: what the gateway after one that was killed finds. */
import {writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import test from 'ava';
import {pino} from 'pino';
import type {AppConfig} from '../../src/config/value.ts';
import {appName, type FencingToken, newInstanceName} from '../../src/core/ids.ts';
import {forgetOthers, notesName, type RunningInstance, RunningInstances, readRunning} from '../../src/supervisor/running-instances.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

const log = pino({level: 'silent'});

function instance(name: string, settings: object = {}): RunningInstance {
  const config = {name: appName(name), ...settings} as AppConfig;
  return {config, name: newInstanceName(1), token: 3 as FencingToken, layers: ['1-a'], base: null, image: null, address: '10.77.0.2', range: '10.77.0.0/16'};
}

test('what was noted is read, but for what was forgotten, cut off or is of another name', async (t) => {
  await using directory = await temporaryDirectory();
  const notes = new RunningInstances({containersDirectory: directory.path, left: [], log});
  const [a, b] = [instance('a', {pin: true}), instance('b')];
  for (const one of [a, b, instance('c')]) notes.note(one);
  notes.forget(appName('c'));
  await writeFile(join(directory.path, notesName, 'd.json'), JSON.stringify(instance('d')).slice(0, 40));
  await writeFile(join(directory.path, notesName, 'e.json'), JSON.stringify(instance('a')));
  t.deepEqual(
    readRunning(directory.path).toSorted((x, y) => x.config.name.localeCompare(y.config.name)),
    [a, b],
  );
  forgetOthers(directory.path, new Set(['b']));
  t.deepEqual(readRunning(directory.path), [b]);
});

test('an app is taken over once, with the settings with which it runs', async (t) => {
  await using directory = await temporaryDirectory();
  const notes = new RunningInstances({containersDirectory: directory.path, left: [instance('a', {pin: true})], log});
  t.like(notes.leftApps([{name: appName('a'), pin: false, start: 'lazy'} as AppConfig])[0], {name: 'a', pin: true, start: 'lazy'});
  t.is(notes.take(appName('a'))?.config.pin, true);
  t.is(notes.take(appName('a')), undefined);
});
