import {mkdirSync, rmdirSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import test from 'ava';
import {pino} from 'pino';
import {appName, type FencingToken, type InstanceName} from '../../src/core/ids.ts';
import {forgetOthers, notesName, type RunningInstance, RunningInstances, readRunning} from '../../src/supervisor/running-instances.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {appConfig} from './container-lab.ts';

function instanceOf(name: string, layer: string): RunningInstance {
  const config = appConfig({name: appName(name)});
  return {config, name: layer as InstanceName, token: 1 as FencingToken, layers: [layer], base: null, image: null, address: '10.77.0.2', range: '10.77.0.0/16'};
}

test('a note counts until another one is whole, and one that is cut short is none', async (t) => {
  await using directory = await temporaryDirectory();
  const containersDirectory = directory.path;
  const notes = new RunningInstances({containersDirectory, left: [], log: pino({enabled: false})});
  const found = (): string[] => readRunning(containersDirectory).map(({config, layers}) => `${config.name} ${layers.join(' ')}`);
  notes.note(instanceOf('a', 'first'));
  notes.note(instanceOf('b', 'only'));
  t.deepEqual(found(), ['a first', 'b only']);
  const at = (file: string): string => join(containersDirectory, notesName, file);
  writeFileSync(at('a.json.new'), '{"config":');
  t.deepEqual(found(), ['a first', 'b only']);
  notes.note(instanceOf('a', 'second'));
  t.deepEqual(found(), ['a second', 'b only']);
  mkdirSync(at('a.json.new'));
  notes.note(instanceOf('a', 'third'));
  t.deepEqual(found(), ['a second', 'b only'], 'a note that cannot be written takes none away');
  rmdirSync(at('a.json.new'));
  writeFileSync(at('b.json'), '{"config":');
  t.deepEqual(found(), ['a second']);
  forgetOthers(containersDirectory, new Set(['b']));
  t.deepEqual(found(), []);
});
