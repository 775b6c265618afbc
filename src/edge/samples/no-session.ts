/** What expressions see that are evaluated without a session: in health checks, and for variables of the process. */
import {bareFrontend} from '../../config/proxy-defaults.ts';
import type {SampleContext} from './context.ts';

const noBytes = new Uint8Array();
const frontend = bareFrontend({name: '', position: {file: '', line: 1, column: 1}});

/** @param acceptedAtMs when it would have begun */
export function noSession(acceptedAtMs: number): Pick<SampleContext, 'connection' | 'payload' | 'inspectionEnded' | 'request' | 'captures'> {
  return {
    connection: {
      protocol: 'tcp',
      frontend,
      source: {host: '', port: 0},
      destination: {host: '', port: 0},
      receivedProxy: false,
      tls: null,
      acceptedAtMs,
      id: 0,
    },
    payload: noBytes,
    inspectionEnded: true,
    request: null,
    captures: [],
  };
}
