/** What can be asked for of the first packets of MQTT (3.1, 3.1.1 and 5.0): by name, or by the decimal number of a property of 5.0. */

/** How a property is written. `nonzero` and `flag` have fewer values than their size. */
export interface MqttProperty {
  readonly kind: 'number' | 'nonzero' | 'flag' | 'text';
  /** Of a number, in bytes. */
  readonly size: 0 | 1 | 2 | 4;
}

const flag: MqttProperty = {kind: 'flag', size: 1};
const text: MqttProperty = {kind: 'text', size: 0};
const number2: MqttProperty = {kind: 'number', size: 2};
const number4: MqttProperty = {kind: 'number', size: 4};
const nonzero2: MqttProperty = {kind: 'nonzero', size: 2};
const nonzero4: MqttProperty = {kind: 'nonzero', size: 4};

type Properties = ReadonlyMap<number, MqttProperty>;

export const connectProperties: Properties = new Map([
  [17, number4],
  [21, text],
  [22, text],
  [23, flag],
  [25, flag],
  [33, nonzero2],
  [34, number2],
  [39, nonzero4],
]);

export const willProperties: Properties = new Map([
  [1, flag],
  [2, number4],
  [3, text],
  [8, text],
  [9, text],
  [24, number4],
]);

export const connackProperties: Properties = new Map([
  [17, number4],
  [18, text],
  [19, number2],
  [21, text],
  [22, text],
  [26, text],
  [28, text],
  [31, text],
  [33, nonzero2],
  [34, number2],
  [36, flag],
  [37, flag],
  [39, nonzero4],
  [40, flag],
  [41, flag],
  [42, flag],
]);

export type MqttPacketType = 'connect' | 'connack';

const connectFields = 'flags protocol_name protocol_version client_identifier will_topic will_payload username password keepalive'.split(' ');
const connackFields = ['flags', 'protocol_version', 'reason_code'];

function ids(properties: Properties): readonly string[] {
  return [...properties.keys()].map(String);
}

/** All that can be asked for, by the type of packet. */
export const mqttFields: Readonly<Record<MqttPacketType, readonly string[]>> = {
  connect: [...connectFields, ...ids(connectProperties), ...ids(willProperties)],
  connack: [...connackFields, ...ids(connackProperties)],
};

/** By its name in any case, or its number. Null: another one, which cannot be read. */
export function mqttPacketType(name: string): MqttPacketType | null {
  if (/^(?:1|connect)$/i.test(name)) return 'connect';
  return /^(?:2|connack)$/i.test(name) ? 'connack' : null;
}
