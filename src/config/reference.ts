/** docs/configuration.md, from the tables that also drive the parser. */
import {type KeywordName, keywordNames, keywords, type SectionKind, sections} from './keywords.ts';
import {type KnownKeyword, knownKeywords, knownSections} from './known-keywords.ts';
import {bindOptions, serverOptions} from './known-options.ts';

const introduction = `# Configuration

This file is made from the keyword table in \`src/config/keywords.ts\`; change it there.

The language is HAProxy's: one directive a line, \`#\` begins a comment, sections end where the next one begins. Check a
file with \`picogate check -f FILE\`. Several files, or directories of \`*.cfg\`, make one configuration.

- **Quotes**: in \`'...'\` nothing is special; in \`"..."\` variables of the environment are replaced: \`"$NAME"\`,
  \`"\${NAME}"\`, \`"\${NAME-default}"\`, \`"\${NAME[*]}"\` (one word for each word of the value), and \`"\${.FILE}"\`,
  \`"\${.LINE}"\`, \`"\${.SECTION}"\`. A word that is nothing but variables that are not set does not count.
- **Escapes**, outside quotes and in \`"..."\`: \`\\ \`, \`\\#\`, \`\\\\\`, \`\\'\`, \`\\"\`, \`\\$\`, \`\\n\`, \`\\r\`, \`\\t\`, \`\\xNN\`.
- **Times**: \`us ms s m h d\`, without a unit milliseconds. **Sizes**: \`k m g\`, without a unit bytes.
- **Names**: letters, digits and \`- _ . :\`.
- **Paths** that are relative start at the directory of the configuration file.
- **Addresses** of \`bind\`: \`:80\`, \`*:80\`, \`192.0.2.1:80\`, \`[2001:db8::1]:80\`, \`localhost:80\`, several with commas,
  ranges of ports \`:8000-8010\`, and before any of them \`udp@\`, \`tcp@\`, \`ipv4@\`, \`ipv6@\`. A server may be named after an
  app: \`app:blog:80\`; \`app:80\` is a host called \`app\`.
- **S3**: credentials, and the region when none is given, are found as the tools of AWS find them: \`AWS_ACCESS_KEY_ID\`,
  \`AWS_SECRET_ACCESS_KEY\`, \`AWS_REGION\`, the files in \`~/.aws\` (\`AWS_PROFILE\`), the role of the machine. Servers other
  than Amazon's are named with \`endpoint\`. Certificates of an authority of your own: its file in \`NODE_EXTRA_CA_CERTS\`.

A keyword of HAProxy's that is not implemented yet is an error that names it, unless it could not change anything here;
then it is a warning.
`;

/** The whole document. */
export function renderReference(): string {
  return [introduction, ...sections.map(({kind}) => renderSection(kind)), renderKnown()].join('\n');
}

function renderSection(kind: SectionKind): string {
  const spec = sections.find((section) => section.kind === kind);
  const names = keywordNames.filter((name) => keywords[name].sections.some((allowed) => allowed === kind));
  const rows = names.map((name) => row(name));
  const head = ['| keyword | when it is absent | |', '|---|---|---|'];
  return [`## \`${spec?.usage ?? kind}\``, '', spec?.description ?? '', '', ...head, ...rows, ''].join('\n');
}

function row(name: KeywordName): string {
  const {shape, absent, description} = keywords[name];
  return `| ${code(`${name} ${shape.usage}`)} | ${absent ?? ''} | ${description} |`;
}

/** In a table even code needs its bars escaped. */
function code(text: string): string {
  return `\`${text.replaceAll('|', '\\|')}\``;
}

function renderKnown(): string {
  const list = (names: Iterable<string>): string =>
    [...names]
      .sort()
      .map((name) => `\`${name}\``)
      .join(', ');
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
  const options = (title: string, {ignored, later}: typeof bindOptions): string[] => [
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
