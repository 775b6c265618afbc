/** The table of converters: what the value of a fetch can be sent through. */
import {type CallSpec, signatureTable} from './signatures.ts';

const maps = ['map', 'map_str', 'map_beg', 'map_end', 'map_sub', 'map_dir', 'map_dom', 'map_reg', 'map_ip', 'map_int'];

const signatures = signatureTable(`
  add(string) int
  and(string) int
  b64dec bin
  base64 str
  bool bool
  bytes(int[,int]) bin
  concat([string,string,string]) str
  cpl int
  crc32([int]) int
  cut_crlf str
  digest(string) bin
  div(string) int
  djb2([int]) int
  even bool
  field(int,string[,int]) str
  hex str
  hex2i int
  host_only str
  http_date([int,string]) str
  iif(string,string) str
  in_table([table]) bool
  ipmask(mask[,mask]) ip
  json([string]) str
  length int
  lower str
  ltime(string[,int]) str
  ltrim(string) str
  mod(string) int
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
  sha1 bin
  sha2([int]) bin
  strcmp(string) int
  sub(string) int
  upper str
  url_dec([int]) str
  url_enc([string]) str
  utime(string[,int]) str
  word(int,string[,int]) str
  wt6([int]) int
  xor(string) int
  set-var(string) any
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
  str str
`);

/** Converters of HAProxy that are not implemented. */
export const laterConverters: ReadonlySet<string> = new Set(
  `add_item aes_gcm_dec be2dec be2hex capture-req capture-res crc32c debug fix_is_valid fix_tag_value hmac htonl json_query jwt_header_query
  jwt_payload_query jwt_verify language mqtt_field_value mqtt_is_valid param protobuf secure_memcmp srv_queue table_bytes_in_rate
  table_bytes_out_rate table_conn_cnt table_conn_cur table_conn_rate table_expire table_gpc table_gpc0 table_gpc0_rate table_gpc1 table_gpc1_rate
  table_gpc_rate table_gpt table_gpt0 table_http_err_cnt table_http_err_rate table_http_fail_cnt table_http_fail_rate table_http_req_cnt
  table_http_req_rate table_idle table_kbytes_in table_kbytes_out table_server_id table_sess_cnt table_sess_rate table_trackers ub64dec ub64enc
  ungrpc x509_v_err_str xxh3 xxh32 xxh64`
    .trim()
    .split(/\s+/),
);

export function converterNamed(name: string): CallSpec | undefined {
  return signatures.get(name);
}

export const converterSpecs: readonly CallSpec[] = [...signatures.values()];
