/** HAProxy's own log formats as formats of the language: its manual, sections 8.2.1 to 8.2.4. */
import type {FrontendConfig} from '../../config/proxy-value.ts';
import type {Format, FormatOptions, FormatPart} from '../../config/sample.ts';

export type StandardFormat = Exclude<FrontendConfig['logFormat'], {kind: 'format'}>['kind'];

const texts = {
  tcplog: '%ci:%cp [%t] %ft %b/%s %Tw/%Tc/%Tt %B %ts %ac/%fc/%bc/%sc/%rc %sq/%bq',
  httplog: '%ci:%cp [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %CC %CS %tsc %ac/%fc/%bc/%sc/%rc %sq/%bq %hr %hs "%r"',
  httpslog:
    '%ci:%cp [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %CC %CS %tsc %ac/%fc/%bc/%sc/%rc %sq/%bq %hr %hs "%r" %[fc_err]/%[ssl_fc_err]/%[ssl_c_err]/%[ssl_c_ca_err]/%[ssl_fc_is_resumed] %[ssl_fc_sni]/%sslv/%sslc',
} as const;

const options: FormatOptions = {quote: false, escape: false, hex: false, dashIfMissing: true};

/** @param mode of the frontend, which the default format tells */
export function standardFormat(kind: StandardFormat, mode: string): Format {
  return kind === 'default' ? parts(`Connect from %ci:%cp to %fi:%fp (%f/${mode.toUpperCase()})`) : parts(texts[kind]);
}

/** What a frontend's lines look like. */
export function logFormatOf({logFormat, mode}: FrontendConfig): Format {
  return logFormat.kind === 'format' ? logFormat.format : standardFormat(logFormat.kind, mode);
}

/** For the few texts above only, which have neither flags nor arguments. */
function parts(text: string): Format {
  return [...text.matchAll(/%\[(\w+)\]|%([A-Za-z]+)|[^%]+/g)].map(([whole, fetch, variable]): FormatPart => {
    if (fetch !== undefined) return {kind: 'sample', expression: {text: fetch, fetch: {name: fetch, args: []}, converters: []}, options};
    return variable === undefined ? {kind: 'text', text: whole} : {kind: 'variable', name: variable, argument: '', options};
  });
}
