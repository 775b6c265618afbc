/** Entry of the fault worker thread. It never returns to its event loop: commands are fetched when the bell rings. */
import {workerData} from 'node:worker_threads';
import {FaultLoop} from './fault-loop.ts';
import type {FaultWorkerData} from './fault-messages.ts';

new FaultLoop(workerData as FaultWorkerData).run();
