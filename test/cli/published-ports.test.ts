import test from 'ava';
import {PublishedPorts} from '../../src/cli/published-ports.ts';
import {appName} from '../../src/core/ids.ts';

const app = {name: appName('a'), expose: [{protocol: 'tcp', port: 80} as const, {protocol: 'udp', port: 53} as const]};

function portsOf(last: number): PublishedPorts {
  const worker = {name: 'w1', address: '192.0.2.1', ports: {first: 20_000, last}, memoryBytes: null, appsMax: null, labels: {}};
  return new PublishedPorts(worker);
}

const shown = (ports: PublishedPorts): string[] =>
  ports
    .entries([app], () => '10.77.0.2')
    .map(({protocol, port, targetPort, isUnnoticed}) => `${protocol} ${port} ${targetPort}${isUnnoticed === true ? ' unnoticed' : ''}`);

test('an app has a port for each that it exposes, and one more for each of TCP when others check it', async (t) => {
  const ports = portsOf(20_010);
  const changes: string[][] = [];
  ports.onChange(() => {
    changes.push(shown(ports));
    return Promise.resolve();
  });
  t.deepEqual(shown(ports), ['tcp 20000 80', 'udp 20001 53']);
  t.deepEqual(ports.of(app), {'tcp/80': 20_000, 'udp/53': 20_001});
  await Promise.all([ports.addChecks(app), ports.addChecks(app)]);
  t.deepEqual(changes, [['tcp 20000 80', 'tcp 20002 80 unnoticed', 'udp 20001 53']]);
  t.deepEqual(ports.of(app), {'tcp/80': 20_000, 'check/80': 20_002, 'udp/53': 20_001});
});

test('where no port is left for checks, or the kernel refuses, the others stay as they are', async (t) => {
  const full = portsOf(20_001);
  t.is(shown(full).length, 2);
  await t.throwsAsync(full.addChecks(app), {code: 'ERR_NO_PORT', message: /Cannot publish check 80 of app "a": all of the ports 20000-20001/});
  t.is(shown(full).length, 2);

  const refused = portsOf(20_010);
  refused.onChange(() => Promise.reject(new Error('no')));
  await t.throwsAsync(refused.addChecks(app), {message: 'no'});
  t.is(shown(refused).length, 2);
  refused.onChange(() => Promise.resolve());
  await refused.addChecks(app);
  t.is(shown(refused).length, 3);
});
