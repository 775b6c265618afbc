import test from 'ava';
import type {Clock} from '../../../src/core/clock.ts';
import {nameKey} from '../../../src/edge/dns/name.ts';
import {limitResponses, networkOf} from '../../../src/edge/dns/response-rate.ts';
import {until} from '../../helpers/until.ts';
import {dig, openAsker, openTestDns, question} from './dns-fixture.ts';

function fakeClock(): Clock & {nowAtMs: number} {
  const clock = {nowAtMs: 0, monotonicMs: () => clock.nowAtMs, nowMs: () => clock.nowAtMs, after: () => () => undefined};
  return clock;
}

test('of more than the limit every second one is truncated, the others dropped', (t) => {
  const clock = fakeClock();
  const rate = limitResponses(3, clock);
  const judge = (client: string, name = 'a.example', rcode = 0): string => rate.judge(client, nameKey(name), rcode);
  t.deepEqual(
    Array.from({length: 7}, (_, at) => judge(`192.0.2.${at}`)),
    ['send', 'send', 'send', 'truncate', 'drop', 'truncate', 'drop'],
  );
  t.is(judge('192.0.3.1'), 'send');
  t.is(judge('192.0.2.1', 'b.example'), 'send');
  t.is(judge('192.0.2.1', 'a.example', 3), 'send');
  clock.nowAtMs = 1000;
  t.is(judge('192.0.2.1'), 'send');
});

test('networkOf() is the /24 or the /56', (t) => {
  t.is(networkOf('192.0.2.77'), '192.0.2');
  t.is(networkOf('2001:db8:1:2fe::1'), networkOf('2001:db8:1:2ff::2'));
  t.not(networkOf('2001:db8:1:2fe::1'), networkOf('2001:db8:1:3fe::1'));
  t.is(networkOf('::1'), networkOf('::2'));
  t.is(networkOf('2001:db8::1:0:0:1'), networkOf('2001:db8:0:12:1::'));
});

test('a client whose answers are limited gets them over TCP, and names that do not exist share a limit', async (t) => {
  await using dns = await openTestDns({responsesPerSecond: 5});
  await using asker = await openAsker(dns.udpPort);
  // More than two windows' worth at once, so that one of them is exceeded wherever it ends.
  for (let at = 0; at < 60; at++) asker.send(question(`n${at}.apps.example.com`));
  asker.send(question('mail.apps.example.com', {id: 0x7777}));
  await until(() => asker.received.some((answer) => answer.readUInt16BE(0) === 0x7777));
  const truncated = asker.received.filter((answer) => ((answer[2] ?? 0) & 2) !== 0);
  t.true(truncated.length >= 15 && truncated.length <= 30, `${truncated.length}`);
  t.true(asker.received.length <= 41, `${asker.received.length}`);
  t.true(truncated.every((answer) => answer.length === question('n10.apps.example.com').length || answer.length === question('n1.apps.example.com').length));
  t.is((await dig(dns, '+tcp', 'n1.apps.example.com')).status, 'NXDOMAIN');
});
