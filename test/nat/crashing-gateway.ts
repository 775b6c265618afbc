/** A gateway that ends without disposing anything: by its second argument. */
import {pino} from 'pino';
import {appName, type GatewayIdentity} from '../../src/core/ids.ts';
import {openNat} from '../../src/nat/nat.ts';

const [identity = '', how = ''] = process.argv.slice(2);
const range = {address: `10.${100 + Math.floor(Math.random() * 150)}.${Math.floor(Math.random() * 256)}.0`, prefixLength: 24};
const nat = await openNat({identity: identity as GatewayIdentity, range, log: pino({level: 'silent'}), onWanted: () => undefined});
const app = nat.addApp({name: appName('app'), index: 0, expose: []});
await app.prepare();
app.wake();
process.stdout.write('ready\n', () => {
  if (how === 'exit') process.exit(3);
  if (how === 'throw') throw new Error('a bug');
});
setInterval(() => undefined, 1000);
