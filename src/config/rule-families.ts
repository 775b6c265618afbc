/** The families of rules by the keywords that introduce them. */
import {httpAfterResponseActions, httpRequestActions, httpResponseActions} from './actions/http-actions.ts';
import {tcpConnectionActions, tcpContentActions, tcpResponseActions, tcpSessionActions} from './actions/tcp-actions.ts';

export const actionFamilies = {
  'tcp-request connection': tcpConnectionActions,
  'tcp-request session': tcpSessionActions,
  'tcp-request content': tcpContentActions,
  'tcp-response content': tcpResponseActions,
  'http-request': httpRequestActions,
  'http-response': httpResponseActions,
  'http-after-response': httpAfterResponseActions,
} as const;
