/** The columns of `show stat`: HAProxy's in HAProxy's order, then ours. */
import type {FieldDefinition, FieldType} from './field.ts';

const types: Readonly<Record<string, FieldType>> = {u: 'u32', s: 's32', U: 'u64', t: 'str'};

/** `NAME:TAGS:TYPE`, by position. The first three letters are HAProxy's tags, the last one is a type. */
const haproxyFields = `
  pxname:KNS:t svname:KNS:t qcur:MGP:u qmax:MMP:u scur:MGP:u smax:MMP:u slim:CLP:u stot:MCP:U bin:MCP:U bout:MCP:U dreq:MCP:U dresp:MCP:U ereq:MCP:U
  econ:MCP:U eresp:MCP:U wretr:MCP:U wredis:MCP:U status:SGP:t weight:MaP:u act:SGP:u bck:SGP:u chkfail:MCP:U chkdown:MCP:U lastchg:MAP:u
  downtime:MCP:u qlimit:CLS:u pid:KGP:u iid:KGS:u sid:KGS:u throttle:MaP:u lbtot:MCP:U tracked:CGS:t type:CGS:u rate:MRP:u rate_lim:CLP:u rate_max:MMP:u
  check_status:MOP:t check_code:MOP:u check_duration:MDP:U hrsp_1xx:MCP:U hrsp_2xx:MCP:U hrsp_3xx:MCP:U hrsp_4xx:MCP:U hrsp_5xx:MCP:U hrsp_other:MCP:U
  hanafail:MCP:U req_rate:MRP:u req_rate_max:MMP:u req_tot:MCP:U cli_abrt:MCP:U srv_abrt:MCP:U comp_in:MCP:U comp_out:MCP:U comp_byp:MCP:U comp_rsp:MCP:U
  lastsess:MAP:s last_chk:MOP:t last_agt:MOP:t qtime:MaP:u ctime:MaP:u rtime:MaP:u ttime:MaP:u agent_status:MOP:t agent_code:MOP:u agent_duration:MDP:U
  check_desc:MOP:t agent_desc:MOP:t check_rise:CGS:u check_fall:CGS:u check_health:CGS:u agent_rise:CGS:u agent_fall:CGS:u agent_health:CGS:u addr:CGS:t
  cookie:CGS:t mode:CGS:t algo:CGS:t conn_rate:MRP:u conn_rate_max:MMP:u conn_tot:MCP:U intercepted:MCP:U dcon:MCP:U dses:MCP:U wrew:MCP:U connect:MCP:U
  reuse:MCP:U cache_lookups:MCP:U cache_hits:MCP:U srv_icur:MGP:u src_ilim:CLS:u qtime_max:MMP:u ctime_max:MMP:u rtime_max:MMP:u ttime_max:MMP:u
  eint:MCP:U idle_conn_cur:MGP:u safe_conn_cur:MGP:u used_conn_cur:MGP:u need_conn_est:MGP:u uweight:MaP:u agg_server_status:MGP:u
  agg_server_check_status:MGP:u agg_check_status:MGP:u`;

/** Ours come where HAProxy's modules have theirs: after a column `-`. */
const ourFields = 'app:CGS:t app_state:SGP:t app_wakes_last_ms:MDP:U';

function definitions(text: string, firstPosition: number): readonly FieldDefinition[] {
  return text
    .trim()
    .split(/\s+/)
    .map((word, index) => {
      const [name = '', tags = '', type = ''] = word.split(':');
      return {position: firstPosition + index, name, tags, type: types[type] ?? 'str'};
    });
}

const first = definitions(haproxyFields, 0);

/** In the order in which they are printed. */
export const statFields: readonly FieldDefinition[] = [...first, ...definitions(ourFields, first.length)];

/** The first line of the CSV form. */
export const statHeader = `# ${[...first.map(({name}) => name), '-', ...statFields.slice(first.length).map(({name}) => name)].join(',')},`;

/** How many columns stand before the `-`. */
export const haproxyFieldCount = first.length;
