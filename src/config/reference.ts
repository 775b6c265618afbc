/** docs/configuration.md, from the tables that also drive the parser. */
import {bindOptions} from './bind-shape.ts';
import {converterSpecs} from './expression/converters.ts';
import {fetchSpecs} from './expression/fetches.ts';
import {logVariables} from './expression/log-variables.ts';
import {predefinedAcls} from './expression/predefined-acls.ts';
import {usageOf} from './expression/signatures.ts';
import type {SectionKind} from './keyword.ts';
import {type KeywordName, keywordNames, keywords, placesOf, sections, writtenAs} from './keywords.ts';
import {type KnownKeyword, knownKeywords, knownSections} from './known-keywords.ts';
import type {OptionTable} from './options.ts';
import {actionFamilies} from './rule-families.ts';
import {matchMethods} from './sample.ts';
import {serverOptions} from './server-options.ts';

const introduction = `# Configuration

This file is made from the keyword tables in \`src/config/keywords*.ts\` and those that they use; change it there.

The language is HAProxy's: one directive a line, \`#\` begins a comment, sections end where the next one begins. Check a
file with \`picogate check -f FILE\`. Several files, or directories of \`*.cfg\`, make one configuration.

- **Quotes**: in \`'...'\` nothing is special; in \`"..."\` variables of the environment are replaced: \`"$NAME"\`,
  \`"\${NAME}"\`, \`"\${NAME-default}"\`, \`"\${NAME[*]}"\` (one word for each word of the value), and \`"\${.FILE}"\`,
  \`"\${.LINE}"\`, \`"\${.SECTION}"\`. A word that is nothing but variables that are not set does not count.
  On lines that name addresses (\`bind\`, \`server\`, \`log\`, ...) \`$NAME\` and \`\${NAME}\` are replaced outside of quotes too; one that is not set is nothing.
- **Escapes**, outside quotes and in \`"..."\`: \`\\ \`, \`\\#\`, \`\\\\\`, \`\\'\`, \`\\"\`, \`\\$\`, \`\\n\`, \`\\r\`, \`\\t\`, \`\\xNN\`.
- **Times**: \`us ms s m h d\`, without a unit milliseconds. **Sizes**: \`k m g\`, without a unit bytes.
- **Names**: letters, digits and \`- _ . :\`.
- **Paths** that are relative start at the directory of the configuration file, or as \`default-path\`, \`ca-base\` and
  \`crt-base\` say.
- **Blocks**: \`.if\`, \`.elif\`, \`.else\`, \`.endif\` with \`defined(NAME)\`, \`feature(NAME)\`, \`streq(A,B)\`, \`strneq(A,B)\`,
  \`strstr(A,B)\`, \`version_atleast(V)\`, \`version_before(V)\`, numbers, \`!\`, \`&&\`, \`||\` and parentheses. \`feature(PICOGATE)\` holds
  here and nowhere else, so that one file can serve two programs. \`.notice\`, \`.warning\`, \`.alert\` say something.
- **Conditions**: names of ACLs, or tests in braces with blanks around them; \`!\` before one, \`or\` or \`||\` between them; those
  without a word between them must all hold. An ACL is declared before it is used.
- **Addresses** of \`bind\`: \`:80\`, \`*:80\`, \`192.0.2.1:80\`, \`[2001:db8::1]:80\`, \`localhost:80\`, several with commas,
  ranges of ports \`:8000-8010\`, and before any of them \`udp@\`, \`tcp@\`, \`ipv4@\`, \`ipv6@\`; \`/path\` or \`unix@path\` is a unix socket,
  \`abns@name\` one without a file, \`fd@3\` a descriptor that listens already. A server may be named after an app:
  \`app:blog:80\`; \`app:80\` is a host called \`app\`.
- **S3**: credentials, and the region when none is given, are found as the tools of AWS find them: \`AWS_ACCESS_KEY_ID\`,
  \`AWS_SECRET_ACCESS_KEY\`, \`AWS_REGION\`, the files in \`~/.aws\` (\`AWS_PROFILE\`), the role of the machine. Servers other
  than Amazon's are named with \`endpoint\`. Certificates of an authority of your own: its file in \`NODE_EXTRA_CA_CERTS\`.

A keyword of HAProxy's that is not implemented yet is an error that names it, unless it could not change anything here;
then it is a warning.
`;

const workersText = `## Several workers

Hosts with the same \`redis\`, the same \`store s3://...\`, the same \`private-range\` and the same apps are *workers*: each has a line \`worker\` in \`global\` with a name and
an address of its own. Example: [worker.cfg](../config/worker.cfg). An app runs on one of them at a time, and is reached through the frontends of all of them.

- **Where an app is woken**: where it is; else where it was last, as its checkpoint is on that disk; else where most of \`memory\` is left, by the \`memory\` limits of the apps
  that are awake there. \`on-worker KEY=VALUE\` asks for a \`label\`. What is not in the store yet is woken where it is, and nowhere else.
- **How it is reached from the others**: at \`address\`, where each exposed port of an app has one of \`ports\`; the kernel's NAT leads there, also from frontends of
  \`mode nat\` (not from a \`bind\` on loopback), which follow an app from worker to worker. Behind another worker's edge, or its \`mode nat\`, an app sees that worker
  as its client. Health checks, those of the edge (\`check\`) and those from outside (\`health-check\`), go to further \`ports\` that an app gets when it is checked from elsewhere: what
  comes there is no traffic of the app and does not wake it. The first check after a wake is made, or passed on, when it is known where the app is.
- **A host without apps** runs \`picogate edge\` with the same file and without the line \`worker\`: it reaches each app at the worker that has it. On a worker,
  \`picogate supervisor\` leaves the frontends, but those of \`mode nat\`, to such edges. See [systemd.md](systemd.md#supervisor-and-edge-by-themselves).
- **A worker that is not heard of** for \`lease-time\` is taken for gone: what ran there is woken elsewhere from the last checkpoint in the store. \`checkpoint-every\` bounds what
  is lost. A worker that was only cut off stops its apps when their leases run out, so that they promise nothing, and ends them when it hears that another one has them.
- **What sleeps** on a worker that is gone or stopped is woken elsewhere when it is wanted, by a client, a schedule or, with \`timers\`, its own timers.
- **A worker that stops**, or is drained, brings its apps to the store first; clients of the others are held meanwhile. If the store cannot be reached then, what is not
  in it waits for that worker; \`picogate workers forget NAME\` gives it up.
- \`picogate workers\` says who is there and what runs where; \`picogate drain NAME\` moves everything to the others, \`undrain\` lets a worker wake apps again. Commands about an app
  may be given on any host, those of the runtime API too; columns of apps in \`show stat\` are about their own host.
- **A move loses no request**: what was said to the app is answered first (10 s at most), and whoever comes meanwhile is held until it runs elsewhere. So all workers can be
  restarted one after the other: \`drain\`, stop, start, \`undrain\`. An idle connection to an app does not survive a move, as it does a sleep: it is closed. Connections
  of clients end with the edge that they come through; where that is restarted too, SIGUSR1 lets it finish them first (no longer than \`hard-stop-after\`), and clients need another edge to go to.
`;

const dashboardText = `## The dashboard

A browser that opens the address of \`stats uri\` sees the dashboard: apps with their states, memory and wake times, memory that sleep saves, frontends, backends and servers,
workers; the page of an app has when it was awake, what its last wakes were spent on, what keeps it awake, and a picture of its memory, block by block. It follows what happens by
itself. An example is [config/dashboard.cfg](../config/dashboard.cfg).

- **Who may see it** say \`stats auth\` and \`stats scope\`; who has buttons for wake, hibernate and pin, \`stats admin\`, as in HAProxy. With \`stats scope\` it shows these proxies and the
  apps that are their servers.
- **HAProxy's forms stay**: \`URI;csv\`, \`URI;json\`, and its page at \`URI;norefresh\` or \`URI;up\`; \`;scope=NAME\` leaves only proxies with that in their name. Whoever does not ask for \`text/html\` gets that page at \`URI\`, too.
- **For programs**: \`URI;state\` is what the dashboard shows, as JSON; \`URI;events\` the same and then each change, as server-sent events; \`URI;app=NAME\` all about one app;
  \`URI;memory\` samples of memory, one a minute, of the last 24 hours. They are there for the page and may change with it.
- **\`/metrics\`** has Prometheus' text on a frontend that has nothing but statistics (no \`use_backend\`, no servers). Anywhere else
  \`http-request use-service prometheus-exporter if { path /metrics }\` says where, as in HAProxy; that asks no password by itself.

At most 32 pages follow at a time. Nothing is looked up while nobody looks, but one sample of memory a minute.
`;

const usageText = `## Usage

\`picogate usage [--since 2026-11-01 | 7d] [--json | --csv]\` says what each app has used, in GB-seconds (a GB is 2^30 bytes) and wakes:

- **active**: the memory of its control group while it is awake, without files that could be read again; looked at every 5 s, and when it falls asleep.
- **stored**: all of its generations in the store, and its files, for as long as they are kept, awake or asleep. Measured when an app has been tidied up after a sleep.
- **cost**: with \`rate-active\` or \`rate-stored\`, both sums at these prices for a GB-hour. They change nothing but what is shown.

Sums are kept by day (UTC) for 400 days, and of all time; \`--since\` counts whole days. Redis is told every 15 s and when an app falls asleep, so a host that
fails loses so much at most. \`picogate metrics\` has \`picogate_app_active_byte_seconds_total\` and \`picogate_app_stored_byte_seconds_total\`.
`;

const logsText = `## Logs

- **Of sessions**: \`log\` lines say where to, \`option httplog\`, \`option tcplog\`, \`option httpslog\` or \`log-format\` what, as in HAProxy. Targets are UDP addresses, datagram
  sockets as \`/dev/log\`, \`stdout\`, \`stderr\` and inherited descriptors (\`fd@3\`); of many lines a \`sample 1:10\` is one in ten. With
  \`format rfc5424\` lines have structured data, as \`log-format-sd '[request@32473 path="%{+E}HP"]'\` says.
- **Of wakes**: in formats \`%[wake.app]\` is the app for which the session was held, \`%[wake.ms]\` for how many milliseconds (which are part of \`%Tw\`), and \`%[wake.trigger]\` what of the session
  woke it, without the client, as \`tcp/80 GET /wiki\`; all are \`-\` where the app was awake. \`option httplog wake\` and \`option tcplog wake\` add the three at the end of HAProxy's line, so that what
  reads those lines goes on reading them.
- **As JSON**: \`option jsonlog\`. What does not apply is left out:
  \`time frontend mode client_ip client_port frontend_ip frontend_port tls_version tls_cipher tls_sni unique_id method uri http_version captured_request captured_response backend server
  server_ip server_port status bytes_received bytes_sent termination retries redispatched handshake_ms idle_ms request_ms wait_ms connect_ms response_ms active_ms total_ms wake_app
  wake_ms wake_trigger\`.
- **Of the gateway itself**: on standard error, as \`gateway-log\` says.
`;

const tracesText = `## Traces

With \`otlp\`, or OpenTelemetry's variables in the environment, each wake is a trace: a span \`wake\` with the app, what woke it and how many pages were predicted, and below it
\`hold\` (from when the app was wanted until its wake could begin), \`place\` (until this worker had the lease), \`restore\` or \`start\` (until the processes ran), \`pages\` (until the
predicted pages were in memory, where that was before the end) and \`ready\`. A wake that fails is one span with the reason. A wake for an HTTP request with a
\`traceparent\` (W3C Trace Context) belongs to that trace, and is left out where that is not sampled. Nothing waits for the collector: 2048 spans are kept for it, and its
absence is one line in the log.
`;

const waitPageText = `## A page for those who wait

With \`wait-page\` a browser that waits for a wake longer than \`after\` gets a small page, with status 503, \`Retry-After\` and \`Cache-Control: no-store\`. The
wake goes on. The page loads its address again as soon as the app is awake (or has failed), and every 2 seconds where scripts are off.

- **Who gets it**: a GET without a body whose \`Accept\` names \`text/html\`; where the browser says more, only for a whole document
  (\`Sec-Fetch-Mode: navigate\`, \`Sec-Fetch-Dest: document\`). All others are held until the app answers or \`timeout wake\` is over: other methods, what scripts ask for
  (\`fetch()\`, \`X-Requested-With\`), frames, upgrades, programs that take any type.
- **\`file\`** holds an answer of your own, head and body, as \`errorfile\` does. It is sent with \`no-store\`, whatever it says; it has to ask again by itself, with
  \`<meta http-equiv="refresh" content="2">\` or as the built-in one does: a GET of its own address with the field \`picogate-wait: 1\` is held like any other, and answered
  with 204 when the app is awake. The app does not see that request.
- **When the wake fails** clients get 503, or 504 when it takes longer than \`timeout wake\`, with \`Retry-After\`. \`errorfile 503\` and \`errorfile 504\` change these pages.
`;

const probesText = `## Health checks from outside

\`health-check\` lines tell which requests and connections are health checks, or come from scrapers. They wake no app, they are no traffic that keeps
one awake, and no session that it must not sleep for. Without such a line nothing is one. \`config/health-checks.cfg\` is an example.

- **Forms**: \`path\` is the whole path, \`path_beg\` its beginning, \`user-agent\` a part of that header in either case, \`src\` addresses and networks; several
  words on a line are alternatives, as are several lines. \`if\` and \`unless\` take any condition. Lines of \`defaults\` count for the sections after them.
- **When**: lines of a frontend look at a request where \`use_backend\` does, those of a backend where \`use-server\` does: what rules refuse or answer is
  refused or answered, and what they have rewritten is rewritten. A request with a body is never a check.
- **An app that is awake** is asked, so that its answer is a real one. The request travels on a connection of its own, which is not used again.
- **An app that sleeps**, or is on its way to sleep or back, is answered for: with what it answered to the same request last (method, \`Host\`,
  path, query and \`Accept-Encoding\`; status, fields and up to 4 KiB of body, of four such requests), else with the page for status 200 (\`errorfile 200\` changes it). Requests with \`Authorization\` or
  \`Cookie\` get that page, and of answers that are \`private\` or \`no-store\` only the status is kept. When the last attempt to wake the app, or to put it to sleep, has failed,
  the answer is the page for 503, until an attempt succeeds (\`picogate wake\`);
  after a failure that may pass by itself, as when a store cannot be reached, only for a minute, so that a balancer sends somebody again. What is known of answers outlasts a reload, but not the gateway.
- **\`answer-checks off\`**: while the app sleeps the answer is 503, for the \`health-check\` lines of that section. A scraper then sees that it is away instead of old numbers.
- **Mode tcp**: \`src\` and conditions on connections. Such a connection is accepted and ended in good order while the app sleeps, or reset when the app could
  not be woken or \`answer-checks\` is \`off\`; a connection to an app that is awake ends when the app falls asleep.
- **\`health-check tcp\`** (mode tcp): a connection that says nothing and ends is a check. So no server is connected to before the client has said something, or
  the time is over, by default a second. Clients of protocols in which the server speaks first wait that long: give a short time, or use \`src\`. In mode http a connection without a
  request comes to no app in any case. Since the gateway has accepted the connection by then, such a check does not learn that an app has failed.
- **Elsewhere**: in modes \`nat\`, \`udp\` and \`dns\` they are not possible. Servers that are no apps get checks as any other request or connection.
- **To be seen**: log lines have the server \`<HEALTHCHECK>\` and the termination state \`LR\`; \`picogate explain\` says how many were answered since the app was awake,
  \`picogate_app_checks_answered_total\` in \`picogate metrics\` how many in all; \`show stat\` counts them as intercepted.
`;

const sleepText = `## When an app is put to sleep

After \`hibernate-after\` without traffic, in a moment in which no thread of it runs, its sockets hold nothing that is unread or unsent, and no session waits for its
answer. An idle connection is no reason to stay awake, since it survives. \`picogate explain NAME\` says what keeps an app awake, or why it was put to sleep.

- **\`min-awake\`**: not sooner than this after a wake.
- **\`awake-while connections\`**: not while a TCP connection with others is established, whoever began it; what processes of the app have among themselves does not
  count. **\`awake-while cpu > 5%\`**: not while it uses more than so much of one processor, as the mean of the last 5 seconds.
- **\`pin\`**, or \`picogate pin NAME [--for TIME]\` until \`picogate unpin NAME\`: not at all. The pin of an operator outlasts the gateway. A pinned app that sleeps is not woken
  for that; when the gateway stops it is hibernated as all are. \`picogate hibernate\` refuses it without \`--force\`.
  On the stats socket: \`pin app NAME [TIME]\`, \`unpin app NAME\`, \`hibernate app NAME [force]\`.
- **An app that flaps**, that is one that is woken again sooner than ten times what falling asleep and waking took: from the third time on \`hibernate-after\` is doubled each
  time, up to 32 times. A longer sleep, or ten minutes, takes one step back. To be seen: \`picogate explain\`, \`show\` (\`idle\`), the event \`flapping\`,
  \`picogate_app_flaps\` and \`picogate_app_idle_limit_seconds\` in \`picogate metrics\`.
- **\`memory-high\`** and **\`memory-low\`**: when the apps that are awake use more than the first together, the one whose last traffic is longest ago is put to sleep, then the next,
  until they use less than the second. Not those that are pinned, have a session that waits, or had traffic within the last second. Those that \`min-awake\`
  or \`awake-while\` keep awake only when no other is left, and only to get below \`memory-high\`. \`hibernate-after never\` is no protection. To be seen: events \`evicted\`, and
  \`memory-short\` when nobody could go; \`picogate_app_evictions_total\` and \`picogate_memory_used_bytes\` in \`picogate metrics\`.
`;

const timersText = `## When an app is woken by the time

\`wake-at\` lines are schedules, as cron writes them, in the gateway's local time. \`timers on\` wakes an app for its own timers; \`config/timers.cfg\` is an example of
both. A wake begins as much earlier as the last one took. What is due next is said by \`picogate explain\` and \`show\` (\`nextWake\`); events \`woken\` have \`timer\` or
\`schedule\` and its fields as their trigger, and \`picogate_app_timed_wakes_total\` in \`picogate metrics\` counts them.

- **Schedules**: five fields, each \`*\`, numbers, names of months and days, lists, ranges and steps, or \`@hourly\`, \`@daily\`, \`@weekly\`, \`@monthly\`, \`@yearly\`. A
  schedule that passes while the gateway does not run is not made up for; one wakes an app that was never started, too.
- **Timers of an app** are timerfds, those of \`timer_create\` and \`setitimer\`, and what threads wait for in \`nanosleep\`, \`clock_nanosleep\`, \`poll\`, \`ppoll\`, \`select\`,
  \`pselect\`, \`epoll_wait\`, \`epoll_pwait\` and \`futex\`. Those that count processor time do not count. What threads wait for is known on x86-64 only.
- **\`on\`** counts all of them. Many servers tick for nothing: then \`min 1m\` leaves out what is due within a minute of falling asleep, or comes more often.
- **Too near**: an app does not fall asleep when its next timer is due within what falling asleep and waking took last, and a second more,
  or when a thread of it is found at work. An operator may still do it; then it is woken at its time, or at once.
- **Clocks**: with \`timers\`, an app that wakes finds CLOCK_MONOTONIC and CLOCK_BOOTTIME put forward by the time that it slept, and what was due meanwhile expires at
  once. So time-outs of its own, of idle connections for example, have gone on too. Without, both clocks and all timers stand still while it sleeps.
- **Limits**: calls such as \`epoll_wait\` and \`futex\` end with EINTR at a wake, whatever it was for (sleeps go on); a program that then waits for its whole time again, without a
  look at a clock, is late, and one that takes it for the end of its wait is early. Debian's cron waits in whole seconds, and one more: its jobs begin up to two seconds after
  the minute, awake or asleep, and not before it. How long threads
  have waited in them is seen once in a second, so that a wake for them may be a second early. After a restore of a checkpoint that was made while \`timers\` was \`off\`, nothing
  is due until the app has slept once more.
`;

/** The whole document. */
export function renderReference(): string {
  return [
    introduction,
    sleepText,
    timersText,
    probesText,
    waitPageText,
    logsText,
    tracesText,
    dashboardText,
    usageText,
    workersText,
    ...sections.map(({kind}) => renderSection(kind)),
    renderOptions(),
    renderRules(),
    renderExpressions(),
    renderKnown(),
  ].join('\n');
}

function renderSection(kind: SectionKind): string {
  const spec = sections.find((section) => section.kind === kind);
  const names = keywordNames.filter((name) => placesOf(name).includes(kind));
  const head = ['| keyword | when it is absent | |', '|---|---|---|'];
  const table = names.length === 0 ? [] : ['', ...head, ...names.map(row)];
  return [`## \`${spec?.usage ?? kind}\``, '', spec?.description ?? '', ...table, ''].join('\n');
}

function row(name: KeywordName): string {
  const {shape, absent, description} = keywords[name];
  const gap = shape.usage.startsWith('(') ? '' : ' ';
  return `| ${code(`${writtenAs(name)}${gap}${shape.usage}`.trim())} | ${absent ?? ''} | ${description} |`;
}

function codes(names: Iterable<string>): string {
  return [...names]
    .sort()
    .map((name) => `\`${name}\``)
    .join(', ');
}

function renderOptions(): string {
  const one = (title: string, table: {readonly known: Readonly<Record<string, {readonly usage?: string}>>}): string[] => [
    `## Options of ${title}`,
    '',
    `${codes(Object.entries(table.known).map(([name, {usage}]) => (usage === undefined ? name : `${name} ${usage}`)))}.`,
    '',
  ];
  return [...one('`bind`', bindOptions), ...one('`server` and `default-server`', serverOptions)].join('\n');
}

function renderRules(): string {
  const lines = Object.entries(actionFamilies).map(([keyword, {actions}]) => `- \`${keyword}\`: ${codes(Object.keys(actions))}.`);
  return ['## Actions of rules', '', 'Behind each an `if` or `unless` with a condition is possible.', '', ...lines, ''].join('\n');
}

function renderExpressions(): string {
  return [
    '## Sample expressions, conditions, formats',
    '',
    '`fetch(arguments),converter(arguments),...`. What is optional is in brackets.',
    '',
    `**Fetches**: ${codes(fetchSpecs.map(usageOf))}.`,
    '',
    `**Converters**: ${codes(converterSpecs.map(usageOf))}.`,
    '',
    `**Matching methods** of ACLs (\`-m\`): ${codes(matchMethods)}. \`hdr_beg(host)\` is \`hdr(host) -m beg\`, and so on.`,
    '',
    `**ACLs that are there**: ${codes(predefinedAcls.keys())}.`,
    '',
    `**Variables of log formats**: ${[...logVariables].map(([name, meaning]) => `\`%${name}\` ${meaning}`).join('; ')}. ` +
      'Before the name flags are possible, as in `%{+Q}r`: `Q` in quotes, `E` escaped, `X` hexadecimal, `M` a dash for what is missing. `%[sample]` is an expression.',
    '',
  ].join('\n');
}

/** In a table even code needs its bars escaped. */
function code(text: string): string {
  return `\`${text.replaceAll('|', '\\|')}\``;
}

function renderKnown(): string {
  const list = codes;
  const of = (known: ReadonlyMap<string, KnownKeyword>, kind: KnownKeyword['kind']): string[] =>
    [...known].filter(([, entry]) => entry.kind === kind).map(([name]) => name);
  const block = (title: string, known: ReadonlyMap<string, KnownKeyword>): string[] => {
    const refused = [...known].flatMap(([name, entry]) => (entry.kind === 'refused' ? [`\`${name}\` (${entry.instead})`] : []));
    return [
      `### ${title}`,
      '',
      ...(of(known, 'ignored').length === 0 ? [] : [`Without effect: ${list(of(known, 'ignored'))}.`, '']),
      `Not implemented yet: ${list(of(known, 'later'))}.`,
      '',
      `Not supported: ${refused.sort().join(', ')}.`,
      '',
    ];
  };
  const options = <Draft>(title: string, {ignored, later}: Pick<OptionTable<Draft>, 'ignored' | 'later'>): string[] => [
    `### ${title}`,
    '',
    `Without effect: ${list(ignored.keys())}.`,
    '',
    `Not implemented yet: ${list(later)}.`,
    '',
  ];
  return [
    "## HAProxy's other keywords",
    '',
    ...block('Sections', knownSections),
    ...block('In `global`', knownKeywords('global')),
    'Also without effect: everything else that begins with `tune.` or `httpclient.`.',
    '',
    ...block('In `defaults`, `frontend`, `backend`, `listen`', knownKeywords('listen')),
    ...options('Options of `bind`', bindOptions),
    ...options('Options of `server` and `default-server`', serverOptions),
  ]
    .join('\n')
    .trimEnd()
    .concat('\n');
}
