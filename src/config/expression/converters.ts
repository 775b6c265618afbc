/** The table of converters: what the value of a fetch can be sent through. */
import {type CallSpec, signatureTable} from './signatures.ts';

const maps = ['map', 'map_str', 'map_beg', 'map_end', 'map_sub', 'map_dir', 'map_dom', 'map_reg', 'map_ip', 'map_int'];

const tableReadings = `bytes_in_rate bytes_out_rate conn_cnt conn_cur conn_rate gpc0 gpc0_rate gpc1 gpc1_rate gpt0 http_err_cnt http_err_rate http_fail_cnt
  http_fail_rate http_req_cnt http_req_rate kbytes_in kbytes_out sess_cnt sess_rate trackers`.split(/\s+/);

const signatures = signatureTable(`
  add(string) int
  add_item(string,string[,string]) str
  and(string) int
  b64dec bin
  base64 str
  be2dec(string,int[,int]) str
  be2hex([string,int,int]) str
  bool bool
  bytes(int[,int]) bin
  concat([string,string,string]) str
  cpl int
  crc32([int]) int
  crc32c([int]) int
  cut_crlf str
  digest(string) bin
  div(string) int
  djb2([int]) int
  even bool
  field(int,string[,int]) str
  hex str
  hmac(string,string) bin
  hex2i int
  host_only str
  htonl bin
  http_date([int,string]) str
  iif(string,string) str
  in_table(table) bool
  ipmask(mask[,mask]) ip
  json([string]) str
  json_query(string[,string]) any
  jwt_header_query([string,string]) any
  jwt_payload_query([string,string]) any
  jwt_verify(string,string) int
  length int
  lower str
  ltime(string[,int]) str
  ltrim(string) str
  mod(string) int
  mqtt_field_value(string,string) str
  mqtt_is_valid bool
  mul(string) int
  nbsrv int
  neg int
  not bool
  odd bool
  or(string) int
  port_only int
  regsub(regex,string[,string]) str
  rtrim(string) str
  sdbm([int]) int
  secure_memcmp(string) bool
  sha1 bin
  sha2([int]) bin
  strcmp(string) int
  sub(string) int
  ub64dec str
  ub64enc str
  upper str
  url_dec([int]) str
  url_enc([string]) str
  utime(string[,int]) str
  word(int,string[,int]) str
  xor(string) int
  set-var(string[,string,string,string,string]) any
  unset-var(string) any
  ${maps.map((name) => `${name}(map[,string]) str`).join('\n')}
  ${maps
    .filter((name) => name !== 'map')
    .map((name) => `${name}_int(map[,int]) int`)
    .join('\n')}
  ${maps
    .filter((name) => name !== 'map')
    .map((name) => `${name}_ip(map[,ip]) ip`)
    .join('\n')}
  map_regm(map[,string]) str
  ${tableReadings.map((what) => `table_${what}(table) int`).join('\n')}
  table_gpc(int,table) int
  table_gpc_rate(int,table) int
  table_gpt(int,table) int
`);

/** Converters of HAProxy that are not implemented. */
export const laterConverters: ReadonlySet<string> = new Set(
  `aes_gcm_dec capture-req capture-res debug fix_is_valid fix_tag_value language
  param protobuf srv_queue table_expire table_idle table_server_id
  ungrpc wt6 x509_v_err_str xxh3 xxh32 xxh64`
    .trim()
    .split(/\s+/),
);

export function converterNamed(name: string): CallSpec | undefined {
  return signatures.get(name);
}

export const converterSpecs: readonly CallSpec[] = [...signatures.values()];
