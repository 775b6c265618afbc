import test from 'ava';
import {describeTrigger, type Trigger, triggerKeys} from '../../src/core/trigger.ts';

const connection = {kind: 'connection', protocol: 'tcp', port: 80, source: '192.0.2.1'} as const;
const get = (path: string): Trigger => ({...connection, request: {method: 'GET', path}});

const cases: readonly (readonly [Trigger, readonly string[]])[] = [
  [connection, ['tcp/80']],
  [get('/wiki/Main_Page?action=edit'), ['tcp/80 GET /wiki', 'tcp/80']],
  [get('//wiki/'), ['tcp/80 GET /wiki', 'tcp/80']],
  [get('http://example.com/wiki/x'), ['tcp/80 GET /wiki', 'tcp/80']],
  [get('/?q=a/b'), ['tcp/80 GET /', 'tcp/80']],
  [get('*'), ['tcp/80 GET /*', 'tcp/80']],
  [get('/4711/edit'), ['tcp/80 GET /*', 'tcp/80']],
  [get('/9b2d3c1e-0a4f-4d3b-8f6e-1c2d3e4f5a6b'), ['tcp/80 GET /*', 'tcp/80']],
  [get(`/${'a b'.repeat(100)}`), [`tcp/80 GET /${'a?b'.repeat(16)}`, 'tcp/80']],
  [
    {...connection, port: 443, sni: 'Www.Example.COM.', request: {method: 'POST', path: '/x'}},
    ['tcp/443 sni www.example.com POST /x', 'tcp/443 sni www.example.com', 'tcp/443'],
  ],
  [{kind: 'datagram', protocol: 'udp', port: 53, source: '192.0.2.1', name: 'example.com.'}, ['udp/53 name example.com', 'udp/53']],
  [{kind: 'timer'}, ['timer']],
  [{kind: 'schedule', expression: '0 3 * * mon-fri'}, ['schedule 0 3 * * mon-fri', 'schedule']],
  [{kind: 'operator'}, ['operator']],
];

for (const [trigger, keys] of cases) {
  test(`triggerKeys() gives ${keys.join(', ')} for ${JSON.stringify(trigger).slice(0, 120)}`, (t) => t.deepEqual(triggerKeys(trigger), keys));
}

test('describeTrigger() says what came and from whom', (t) => {
  t.is(describeTrigger(connection), 'tcp/80 from 192.0.2.1');
  t.is(describeTrigger(get('/wiki/Main')), 'tcp/80 GET /wiki from 192.0.2.1');
  t.is(describeTrigger({kind: 'timer'}), 'timer');
});
