import test from 'ava';
import {until} from '../../helpers/until.ts';
import {FakeApps} from '../edge-fixture.ts';
import {dig, openAsker, openTestDns, question, testZone} from './dns-fixture.ts';

const soa = /^apps\.example\.com\. 30 IN SOA ns\.apps\.example\.com\. hostmaster\.apps\.example\.com\. \d+ 3600 600 86400 30$/;

test('the records of a zone', async (t) => {
  await using dns = await openTestDns();
  const zone = 'apps.example.com';
  const cases: readonly (readonly [name: string, type: string, status: string, answers: readonly string[]])[] = [
    ['blog', 'A', 'NOERROR', [`blog.${zone}. 60 IN A 127.0.0.1`]],
    ['wiki.team', 'A', 'NOERROR', [`wiki.team.${zone}. 60 IN A 127.0.0.1`]],
    ['blog', 'AAAA', 'NOERROR', []],
    ['blog', 'SRV', 'NOERROR', [`blog.${zone}. 60 IN SRV 0 0 80 blog.${zone}.`, `blog.${zone}. 60 IN SRV 0 0 443 blog.${zone}.`]],
    ['_blog._udp', 'SRV', 'NOERROR', [`_blog._udp.${zone}. 60 IN SRV 0 0 443 blog.${zone}.`]],
    ['_wiki._udp', 'SRV', 'NXDOMAIN', []],
    ['_udp', 'SRV', 'NOERROR', []],
    ['blog', 'TXT', 'NOERROR', [`blog.${zone}. 60 IN TXT "app=blog"`]],
    ['blog', 'ANY', 'NOERROR', [`blog.${zone}. 60 IN HINFO "RFC8482" ""`]],
    ['BLOG', 'A', 'NOERROR', [`BLOG.${zone}. 60 IN A 127.0.0.1`]],
    ['www', 'A', 'NOERROR', [`www.${zone}. 60 IN CNAME blog.${zone}.`, `blog.${zone}. 60 IN A 127.0.0.1`]],
    ['www', 'CNAME', 'NOERROR', [`www.${zone}. 60 IN CNAME blog.${zone}.`]],
    ['www', 'MX', 'NOERROR', [`www.${zone}. 60 IN CNAME blog.${zone}.`]],
    ['out', 'A', 'NOERROR', [`out.${zone}. 60 IN CNAME www.example.net.`]],
    ['mail', 'A', 'NOERROR', [`mail.${zone}. 60 IN A 192.0.2.25`]],
    ['mail', 'AAAA', 'NOERROR', [`mail.${zone}. 60 IN AAAA 2001:db8::25`]],
    ['mail', 'TYPE65400', 'NOERROR', []],
    ['_sip._tcp', 'SRV', 'NOERROR', [`_sip._tcp.${zone}. 60 IN SRV 1 2 5060 mail.${zone}.`]],
    ['text', 'TXT', 'NOERROR', [`text.${zone}. 60 IN TXT "one" "two words"`]],
    ['deep', 'A', 'NOERROR', []],
    ['b.deep', 'A', 'NXDOMAIN', []],
    ['x.wild', 'A', 'NOERROR', [`x.wild.${zone}. 60 IN A 192.0.2.9`]],
    ['x.y.wild', 'A', 'NOERROR', [`x.y.wild.${zone}. 60 IN A 192.0.2.9`]],
    ['x.wild', 'MX', 'NOERROR', []],
    ['wild', 'A', 'NOERROR', []],
    ['none', 'A', 'NXDOMAIN', []],
    ['x.blog', 'A', 'NXDOMAIN', []],
    ['ns', 'A', 'NOERROR', [`ns.${zone}. 60 IN A 127.0.0.1`]],
  ];
  for (const [name, type, status, answers] of cases) {
    const answer = await dig(dns, `${name}.${zone}`, type);
    t.deepEqual([answer.status, answer.answers], [status, answers], `${name} ${type}`);
    t.true(answer.flags.includes('aa'), `${name} ${type}`);
    const isNegative = answers.length === 0 || (name === 'www' && type === 'MX');
    if (isNegative) t.regex(answer.authority.join(), soa, `${name} ${type}`);
    else t.deepEqual(answer.authority, [], `${name} ${type}`);
  }
});

test('the apex has an SOA, a name server and its own records', async (t) => {
  await using dns = await openTestDns();
  t.deepEqual((await dig(dns, 'apps.example.com', 'NS')).answers, ['apps.example.com. 60 IN NS ns.apps.example.com.']);
  t.deepEqual((await dig(dns, 'apps.example.com', 'MX')).answers, ['apps.example.com. 300 IN MX 10 mail.apps.example.com.']);
  t.regex((await dig(dns, 'apps.example.com', 'SOA')).answers.join(), /^apps\.example\.com\. 60 IN SOA /);
});

test('a delegated name is referred to its servers, with their addresses', async (t) => {
  await using dns = await openTestDns();
  const answer = await dig(dns, 'x.sub.apps.example.com', 'A');
  t.deepEqual(answer.authority, ['sub.apps.example.com. 60 IN NS ns.sub.apps.example.com.']);
  t.deepEqual(answer.additional, ['ns.sub.apps.example.com. 60 IN A 192.0.2.53']);
  t.false(answer.flags.includes('aa'));
});

test('aliases in a circle end', async (t) => {
  await using dns = await openTestDns();
  const answer = await dig(dns, 'loop.apps.example.com', 'A');
  t.is(answer.status, 'NOERROR');
  t.is(answer.answers.length, 9);
});

test('addresses of the zone are those of its apps', async (t) => {
  await using dns = await openTestDns({zones: [{...testZone, addresses: ['192.0.2.7', '2001:db8::7', '192.0.2.8']}]});
  t.deepEqual((await dig(dns, '+short', 'blog.apps.example.com', 'A')).text, '192.0.2.7\n192.0.2.8\n');
  t.deepEqual((await dig(dns, '+short', 'blog.apps.example.com', 'AAAA')).text, '2001:db8::7\n');
});

test('without addresses it is the one at which the question came in, on every family and on all addresses', async (t) => {
  await using v6 = await openTestDns({host: '::1'});
  t.is((await dig(v6, '@::1', '+short', 'blog.apps.example.com', 'AAAA')).text, '::1\n');
  await using all = await openTestDns({host: '::'});
  t.is((await dig(all, '@127.0.0.1', '+short', 'blog.apps.example.com', 'A')).text, '127.0.0.1\n');
  t.is((await dig(all, '@::1', '+short', 'blog.apps.example.com', 'AAAA')).text, '::1\n');
  t.is((await dig(all, '@127.0.0.1', '+tcp', '+short', 'blog.apps.example.com', 'A')).text, '127.0.0.1\n');
});

test('EDNS0: size, unknown options, DO, and other versions', async (t) => {
  await using dns = await openTestDns();
  const plain = await dig(dns, '+noedns', 'blog.apps.example.com');
  t.notRegex(plain.text, /OPT PSEUDOSECTION/);
  t.regex((await dig(dns, '+dnssec', '+ednsopt=65001:abcd', 'blog.apps.example.com')).text, /EDNS: version: 0, flags: do; udp: 1232/);
  const badVersion = await dig(dns, '+edns=1', '+noednsnegotiation', 'blog.apps.example.com');
  t.is(badVersion.status, 'BADVERS');
  t.deepEqual(badVersion.answers, []);
  t.is((await dig(dns, '+edns=1', '+ednsnegotiation', 'blog.apps.example.com')).status, 'NOERROR');
});

test('what does not fit is truncated, and whole over TCP', async (t) => {
  await using dns = await openTestDns();
  const cut = await dig(dns, '+ignore', '+bufsize=4096', 'big.apps.example.com', 'TXT');
  t.true(cut.flags.includes('tc'));
  t.deepEqual(cut.answers, []);
  const whole = await dig(dns, 'big.apps.example.com', 'TXT');
  t.regex(whole.text, /Truncated, retrying in TCP mode/);
  t.is((whole.answers[0]?.match(/xx/g) ?? []).length, 12 * 127);
});

test('what is not answered is refused', async (t) => {
  await using dns = await openTestDns();
  t.is((await dig(dns, 'www.example.org')).status, 'REFUSED');
  t.is((await dig(dns, 'version.bind', 'CH', 'TXT')).status, 'REFUSED');
  t.is((await dig(dns, '+opcode=notify', 'apps.example.com', 'SOA')).status, 'NOTIMP');
  t.is((await dig(dns, '+opcode=update', 'apps.example.com', 'SOA')).status, 'NOTIMP');
  t.regex((await dig(dns, 'apps.example.com', 'AXFR')).text, /Transfer failed/);
});

test('the app is woken while the answer travels, once for many questions', async (t) => {
  const access = new FakeApps();
  await using dns = await openTestDns({access});
  const answer = await dig(dns, 'Blog.apps.example.com');
  t.is(answer.answers.length, 1);
  await using asker = await openAsker(dns.udpPort);
  for (let at = 0; at < 50; at++) asker.send(question('blog.apps.example.com'));
  await until(() => asker.received.length === 50);
  t.deepEqual(access.triggers, [{kind: 'datagram', protocol: 'udp', port: dns.udpPort, source: '127.0.0.1', name: 'blog.apps.example.com'}]);
  t.is(access.sessions, 0);
});

test('a TCP question, an alias and a service wake the app; a text, other names and NODATA of other types do not', async (t) => {
  const cases: readonly (readonly [name: string, type: string, wakes: boolean])[] = [
    ['www', 'A', true],
    ['_blog._tcp', 'SRV', true],
    ['blog', 'AAAA', true],
    ['blog', 'HTTPS', true],
    ['blog', 'TXT', false],
    ['mail', 'A', false],
    ['none', 'A', false],
  ];
  for (const [name, type, wakes] of cases) {
    const access = new FakeApps(true);
    await using dns = await openTestDns({access});
    await dig(dns, '+tcp', `${name}.apps.example.com`, type);
    t.deepEqual(
      access.triggers.map((trigger) => trigger.kind),
      wakes ? ['connection'] : [],
      `${name} ${type}`,
    );
  }
});

test('an app that does not wake has its name all the same', async (t) => {
  const access = new FakeApps();
  access.fail(new Error('Cannot wake app "blog": no memory'));
  await using dns = await openTestDns({access});
  t.is((await dig(dns, 'blog.apps.example.com')).status, 'NOERROR');
  await until(() => dns.frontend.counters.wakeFailures === 1);
  t.is((await dig(dns, 'blog.apps.example.com')).status, 'NOERROR');
});
