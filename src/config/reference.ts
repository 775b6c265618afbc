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

/** The whole document. */
export function renderReference(): string {
  return [introduction, ...sections.map(({kind}) => renderSection(kind)), renderOptions(), renderRules(), renderExpressions(), renderKnown()].join('\n');
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
  return `| ${code(`${writtenAs(name)} ${shape.usage}`.trim())} | ${absent ?? ''} | ${description} |`;
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
    'Also without effect: everything that begins with `tune.` or `httpclient.`.',
    '',
    ...block('In `defaults`, `frontend`, `backend`, `listen`', knownKeywords('listen')),
    ...options('Options of `bind`', bindOptions),
    ...options('Options of `server` and `default-server`', serverOptions),
  ]
    .join('\n')
    .trimEnd()
    .concat('\n');
}
