/** The actions of `tcp-request connection | session | content` and `tcp-response content`. */
import type {TcpRequestAction, TcpResponseAction} from '../rules.ts';
import {type ActionFamily, type ActionReader, bare} from './action-table.ts';
import {addressActions, captureAction, countActions, skipToCondition, trackActions, variableActions} from './common-actions.ts';

const silentDrop: ActionReader<TcpRequestAction> = (args) => {
  skipToCondition(args);
  return {kind: 'silent-drop'};
};

const expectProxy: ActionReader<TcpRequestAction> = (args) => {
  const word = args.take('layer4');
  if (word.text !== 'layer4') throw args.invalid(word, "'layer4' is expected");
  return {kind: 'expect-proxy'};
};

const basic = {accept: bare('accept'), reject: bare('reject'), 'silent-drop': silentDrop, ...variableActions, ...trackActions, ...countActions} as const;
const later = `sc-add-gpc set-mark set-tos set-fc-mark set-fc-tos attach-srv`.split(/\s+/);

export const tcpConnectionActions: ActionFamily<TcpRequestAction> = {
  actions: {...basic, ...addressActions, 'expect-proxy': expectProxy},
  later: [...later, 'expect-netscaler-cip'],
};

export const tcpSessionActions: ActionFamily<TcpRequestAction> = {actions: {...basic, ...addressActions}, later};

export const tcpContentActions: ActionFamily<TcpRequestAction> = {
  actions: {...basic, ...addressActions, capture: captureAction('request')},
  later: [...later, 'do-resolve', 'set-priority-class', 'set-priority-offset', 'switch-mode', 'use-service', 'send-spoe-group', 'set-bc-mark', 'set-bc-tos'],
  ignored: ['set-nice'],
};

export const tcpResponseActions: ActionFamily<TcpResponseAction> = {
  actions: {accept: bare('accept'), reject: bare('reject'), close: bare('close'), ...variableActions},
  later: [...later, ...Object.keys(countActions), 'send-spoe-group', 'set-log-level', 'silent-drop'],
  ignored: ['set-nice'],
};
