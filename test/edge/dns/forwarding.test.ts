import test from 'ava';
import {until} from '../../helpers/until.ts';
import {dig, openAsker, openTestDns, question, testZone} from './dns-fixture.ts';
import {answerTo, openUpstream} from './upstream-fixture.ts';

test('other names are asked of a resolver, with another identifier and port each time', async (t) => {
  await using upstream = await openUpstream((message, send) => send(answerTo(message)));
  await using dns = await openTestDns({forwardTo: [upstream]});
  await using asker = await openAsker(dns.udpPort);
  for (let at = 0; at < 20; at++) asker.send(question(`Www${at}.example.org`, {id: 7}));
  await until(() => asker.received.length === 20);
  t.true(asker.received.every((answer) => answer.readUInt16BE(0) === 7));
  t.true(upstream.from.size >= 19);
  t.true(new Set(upstream.asked.map((message) => message.readUInt16BE(0))).size >= 18);
  t.regex((await dig(dns, 'WWW.example.org')).answers.join(), /^WWW\.example\.org\. 60 IN A 192\.0\.2\.80$/);
  const own = await dig(dns, 'mail.apps.example.com');
  t.deepEqual([own.flags, own.answers.length], [['qr', 'aa', 'rd', 'ra'], 1]);
  t.is((await dig(dns, '+norecurse', 'www.example.org')).status, 'REFUSED');
});

test('questions that are alike share one outside, each with its own identifier and case', async (t) => {
  const held: (() => void)[] = [];
  await using upstream = await openUpstream((message, send) => held.push(() => send(answerTo(message))));
  await using dns = await openTestDns({forwardTo: [upstream]});
  await using asker = await openAsker(dns.udpPort);
  asker.send(question('www.example.org', {id: 1}));
  asker.send(question('WWW.example.ORG', {id: 2}));
  asker.send(question('www.example.org', {id: 3, edns: true}));
  await until(() => upstream.asked.length === 2);
  for (const release of held) release();
  await until(() => asker.received.length === 3);
  const second = asker.received.find((answer) => answer.readUInt16BE(0) === 2);
  t.true(second?.includes('WWW\x07example\x03ORG'));
});

test('answers to something else are not believed', async (t) => {
  const forged = [
    (message: Buffer) => {
      const answer = answerTo(message, {address: '192.0.2.66'});
      answer.writeUInt16BE(answer.readUInt16BE(0) ^ 1, 0);
      return answer;
    },
    (message: Buffer) => {
      const answer = answerTo(message, {address: '192.0.2.66'});
      answer[13] = 0x58;
      return answer;
    },
    (message: Buffer) => answerTo(message, {address: '192.0.2.66', bits: 0x0180}),
    (message: Buffer) => answerTo(message, {address: '192.0.2.66'}).subarray(0, 14),
  ];
  await using upstream = await openUpstream((message, send) => {
    for (const forge of forged) send(forge(message));
    send(answerTo(message));
  });
  await using dns = await openTestDns({forwardTo: [upstream]});
  t.is((await dig(dns, '+short', 'www.example.org')).text, '192.0.2.80\n');
});

test('a resolver that is silent, refuses or is not there: the next one is asked', async (t) => {
  await using silent = await openUpstream(() => undefined);
  await using refusing = await openUpstream((message, send) => send(answerTo(message, {bits: 0x8185, count: 0})));
  await using good = await openUpstream((message, send) => send(answerTo(message)));
  const gone = await openUpstream(() => undefined);
  await gone[Symbol.asyncDispose]();
  for (const bad of [silent, refusing, gone]) {
    await using dns = await openTestDns({forwardTo: [bad, good]});
    t.is((await dig(dns, '+short', 'www.example.org')).text, '192.0.2.80\n');
  }
  await using dns = await openTestDns({forwardTo: [refusing]});
  t.is((await dig(dns, 'www.example.org')).status, 'REFUSED');
  await using unreachable = await openTestDns({forwardTo: [{host: '255.255.255.255', port: 53}, good]});
  t.is((await dig(unreachable, '+short', 'www.example.org')).text, '192.0.2.80\n');
  await using nobody = await openTestDns({forwardTo: [gone]});
  t.is((await dig(nobody, 'www.example.org')).status, 'SERVFAIL');
});

test('a truncated answer is fetched over TCP; the client gets what fits, or is sent to TCP too', async (t) => {
  await using upstream = await openUpstream(
    (message, send) => send(answerTo(message, {bits: 0x8380, count: 0})),
    (message) => answerTo(message, {count: 60}),
  );
  await using dns = await openTestDns({forwardTo: [upstream]});
  t.is((await dig(dns, '+bufsize=1232', 'www.example.org')).answers.length, 60);
  const cut = await dig(dns, '+noedns', '+ignore', 'www.example.org');
  t.true(cut.flags.includes('tc'));
  t.is((await dig(dns, '+noedns', 'www.example.org')).answers.length, 60);
});

test('another gateway as the resolver', async (t) => {
  await using inner = await openTestDns({zones: [{...testZone, name: 'inner.example.com'}]});
  await using outer = await openTestDns({forwardTo: [{host: '127.0.0.1', port: inner.udpPort}]});
  t.is((await dig(outer, '+short', 'blog.inner.example.com')).text, '127.0.0.1\n');
  t.is((await dig(outer, 'none.inner.example.com')).status, 'NXDOMAIN');
  t.is(((await dig(outer, 'big.inner.example.com', 'TXT')).answers[0]?.match(/xx/g) ?? []).length, 12 * 127);
});
