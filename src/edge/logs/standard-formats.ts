/** HAProxy's own log formats as formats of the language: its manual, sections 8.2.1 to 8.2.4. */
import type {FrontendConfig} from '../../config/proxy-value.ts';
import type {Format, FormatOptions, FormatPart} from '../../config/sample.ts';

export type StandardFormat = Exclude<FrontendConfig['logFormat']['kind'], 'format' | 'jsonlog'>;

/** Ours, after all that HAProxy has. */
const wake = ' %[wake.app] %[wake.ms] %{+Q}[wake.trigger]';
const tcplog = '%ci:%cp [%t] %ft %b/%s %Tw/%Tc/%Tt %B %ts %ac/%fc/%bc/%sc/%rc %sq/%bq';
const httplog = '%ci:%cp [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %CC %CS %tsc %ac/%fc/%bc/%sc/%rc %sq/%bq %hr %hs "%r"';

const texts = {
  tcplog,
  httplog,
  httpslog: `${httplog} %[fc_err]/%[ssl_fc_err]/%[ssl_c_err]/%[ssl_c_ca_err]/%[ssl_fc_is_resumed] %[ssl_fc_sni]/%sslv/%sslc`,
  'tcplog-wake': tcplog + wake,
  'httplog-wake': httplog + wake,
} as const;

const options: FormatOptions = {quote: false, escape: false, hex: false, dashIfMissing: true};

/** @param mode of the frontend, which the default format tells */
export function standardFormat(kind: StandardFormat, mode: string): Format {
  return kind === 'default' ? parts(`Connect from %ci:%cp to %fi:%fp (%f/${mode.toUpperCase()})`) : parts(texts[kind]);
}

/** What a frontend's lines look like; null: they are JSON. */
export function logFormatOf({logFormat, mode}: FrontendConfig): Format | null {
  if (logFormat.kind === 'jsonlog') return null;
  return logFormat.kind === 'format' ? logFormat.format : standardFormat(logFormat.kind, mode);
}

/** For the few texts above only, which have neither arguments nor flags but one. */
function parts(text: string): Format {
  return [...text.matchAll(/%(\{\+Q\})?\[([\w.]+)\]|%([A-Za-z]+)|[^%]+/g)].map(([whole, quote, fetch, variable]): FormatPart => {
    const own = {...options, quote: quote !== undefined};
    if (fetch !== undefined) return {kind: 'sample', expression: {text: fetch, fetch: {name: fetch, args: []}, converters: []}, options: own};
    return variable === undefined ? {kind: 'text', text: whole} : {kind: 'variable', name: variable, argument: '', options};
  });
}
