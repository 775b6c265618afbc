/** Converters on the first packets of MQTT: HAProxy's manual, section 7.3.1. */
import {mqttFields, mqttPacketType} from '../../config/expression/mqtt-fields.ts';
import type {SampleContext} from './context.ts';
import {badCall, type ConverterBuilder, mayChange, simple, textArgument} from './fetch.ts';
import {type MqttPacket, readMqttPacket} from './mqtt-packet.ts';
import {boolValue, type Found, textValue, toBytes} from './value.ts';

/** A whole packet does not change when more comes behind it, whatever the fetch of all the payload thinks. */
function packetOf(value: Found, context: SampleContext): MqttPacket {
  const bytes = toBytes(value);
  const packet: MqttPacket = bytes === null ? {kind: 'invalid'} : readMqttPacket(bytes);
  context.undecided = false;
  if (packet.kind === 'incomplete') mayChange(context);
  return packet;
}

const isValid: ConverterBuilder = simple((value, context) => {
  const packet = packetOf(value, context);
  return packet.kind === 'incomplete' ? null : boolValue(packet.kind === 'packet');
});

const fieldValue: ConverterBuilder = (call) => {
  const type = mqttPacketType(textArgument(call, 0));
  const field = textArgument(call, 1).toLowerCase();
  if (type === null) throw badCall(call, `"${textArgument(call, 0)}" is neither connect nor connack`);
  if (!mqttFields[type].includes(field)) throw badCall(call, `"${field}" is none of ${mqttFields[type].join(', ')}`);
  return (value, context) => {
    const packet = packetOf(value, context);
    const found = packet.kind === 'packet' && packet.type === type ? packet.fields.get(field) : undefined;
    if (found === undefined) return null;
    if (typeof found === 'number') return textValue(String(found));
    return found.length === 0 ? null : {type: 'bin', value: found};
  };
};

export const mqttConverters: Readonly<Record<string, ConverterBuilder>> = {
  mqtt_is_valid: isValid,
  mqtt_field_value: fieldValue,
};
