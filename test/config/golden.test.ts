/**
 * Every golden/NAME.cfg is loaded; NAME.json has the value, without what proxies have by default, or NAME.txt the messages.
 * PICOGATE_UPDATE_GOLDEN=1 writes them anew; read the difference before you commit it.
 */
import {existsSync, readdirSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {basename, join, relative} from 'node:path';
import {isDeepStrictEqual} from 'node:util';
import test from 'ava';
import {renderDiagnostic} from '../../src/config/diagnostic.ts';
import {checkFiles, loadConfig} from '../../src/config/load.ts';
import {bareBackend, bareBind, bareFrontend, bareServer} from '../../src/config/proxy-defaults.ts';
import type {Config} from '../../src/config/value.ts';

const directory = join(import.meta.dirname, 'golden');
const update = process.env['PICOGATE_UPDATE_GOLDEN'] === '1';
const env = {NAME: 'a b', LIST: ' one  two\tthree ', EMPTY: '', PORT: '8080'};

/** Name, place and address stay, whatever they are. */
function differing<Value extends object>(value: Value, bare: Value, always: readonly (keyof Value & string)[]): Partial<Value> {
  const kept = Object.entries(value).filter(([key, part]) => always.some((name) => name === key) || !isDeepStrictEqual(part, Reflect.get(bare, key)));
  return Object.fromEntries(kept) as Partial<Value>;
}

const bareProcess = checkFiles([{path: 'bare.cfg', text: 'listen a\n    bind :80\n    server s 192.0.2.1:80\n'}], {}).config?.global.process;

function condensed(config: Config): unknown {
  const {userlists, resolvers, environment, ...rest} = config;
  const {process: ofProcess, ...global} = config.global;
  const process = bareProcess === undefined ? ofProcess : differing(ofProcess, bareProcess, []);
  return {
    ...rest,
    global: {...global, ...(Object.keys(process).length === 0 ? {} : {process})},
    ...(userlists.length === 0 ? {} : {userlists}),
    ...(resolvers.length === 0 ? {} : {resolvers}),
    ...(Object.keys(environment).length === 0 ? {} : {environment}),
    frontends: config.frontends.map((frontend) => ({
      ...differing(frontend, bareFrontend(frontend), ['name', 'mode', 'position']),
      binds: frontend.binds.map((bind) => differing(bind, bareBind(bind), ['protocol', 'host', 'port', 'position'])),
    })),
    backends: config.backends.map((backend) => ({
      ...differing(backend, bareBackend(backend), ['name', 'mode', 'position']),
      servers: backend.servers.map((server) => differing(server, bareServer(server), ['name', 'target', 'position'])),
    })),
  };
}

/** Bytes as hexadecimal digits. */
function readably(_key: string, value: unknown): unknown {
  return value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value;
}

for (const file of readdirSync(directory).filter((name) => name.endsWith('.cfg'))) {
  const name = basename(file, '.cfg');
  test(`loadConfig() takes golden ${name}`, async (t) => {
    const {config, diagnostics} = await loadConfig([relative(process.cwd(), join(directory, file))], {env});
    const messages = `${diagnostics.map((diagnostic) => renderDiagnostic(diagnostic, 1)).join('\n')}\n`;
    const text = config === null ? messages : `${JSON.stringify(condensed(config), readably, 2)}\n`;
    const [expected, other] = config === null ? ['.txt', '.json'] : ['.json', '.txt'];
    const portable = text.replaceAll(directory, '<golden>').replaceAll(`${relative(process.cwd(), directory)}/`, '');
    const path = join(directory, `${name}${expected}`);
    if (update) {
      writeFileSync(path, portable);
      rmSync(join(directory, `${name}${other}`), {force: true});
    }
    t.true(existsSync(path), `${name}${expected} is missing`);
    t.false(existsSync(join(directory, `${name}${other}`)));
    t.is(portable, readFileSync(path, 'utf8'));
  });
}
