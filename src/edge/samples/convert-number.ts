/** Arithmetic, bits and dates: HAProxy's manual, section 7.3.1. Integers have 64 bits and stop at their limits. */
import {badCall, type Converter, type ConverterBuilder, integerArgument, neededArgument, simple, textArgument} from './fetch.ts';
import {strftime} from './strftime.ts';
import {boolValue, clampToInt64, type Found, intValue, textValue, toBoolean, toInteger} from './value.ts';
import {checkVariableName} from './variables.ts';

function onInteger(convert: (value: number) => Found): ConverterBuilder {
  return simple((value) => {
    const number = toInteger(value);
    return number === null ? null : convert(number);
  });
}

/** A converter with a second operand, which is a number or a variable. */
function withOperand(compute: (value: number, operand: number) => number): ConverterBuilder {
  return (call): Converter => {
    const argument = neededArgument(call, 0, 'a number or a variable');
    if (/^[+-]?\d{1,19}$/.test(argument)) {
      const operand = Number(argument);
      return (value) => {
        const number = toInteger(value);
        return number === null ? null : intValue(compute(number, operand));
      };
    }
    const name = checkVariableName(argument);
    return (value, context) => {
      const [number, found] = [toInteger(value), context.variables.get(name)];
      const operand = found === null ? null : toInteger(found);
      return number === null || operand === null ? null : intValue(compute(number, operand));
    };
  };
}

const maxInteger = 2 ** 63;

/** Exact where numbers of JavaScript are, and with big ones where they are not. */
function arithmetic(fast: (a: number, b: number) => number, exact: (a: bigint, b: bigint) => bigint): (a: number, b: number) => number {
  return (a, b) => {
    const result = fast(a, b);
    if (Number.isSafeInteger(result)) return result;
    return Number(clampToInt64(exact(BigInt(Math.trunc(a)), BigInt(Math.trunc(b)))));
  };
}

function bitwise(combine: (a: bigint, b: bigint) => bigint): (a: number, b: number) => number {
  return (a, b) => Number(BigInt.asIntN(64, combine(BigInt(Math.trunc(a)), BigInt(Math.trunc(b)))));
}

const unitMs: Readonly<Record<string, number>> = {'': 1000, s: 1000, ms: 1, us: 0.001};

/** `http_date(offset,unit)`: RFC 9110, section 5.6.7. */
const httpDate: ConverterBuilder = (call) => {
  const offset = integerArgument(call, 0, 0);
  const factor = unitMs[textArgument(call, 1)];
  if (factor === undefined) throw badCall(call, `"${textArgument(call, 1)}" is none of s, ms, us`);
  return (value) => {
    const number = toInteger(value);
    const date = number === null ? null : new Date((number + offset) * factor);
    return date === null || Number.isNaN(date.getTime()) ? null : textValue(date.toUTCString());
  };
};

function formattedTime(utc: boolean): ConverterBuilder {
  return (call) => {
    const format = neededArgument(call, 0, 'a format of strftime(3)');
    const offset = integerArgument(call, 1, 0);
    return (value) => {
      const number = toInteger(value);
      const date = number === null ? null : new Date((number + offset) * 1000);
      return date === null || Number.isNaN(date.getTime()) ? null : textValue(strftime(format, date, utc));
    };
  };
}

/** Of what is no number there is no opposite either. */
const not: ConverterBuilder = simple((value) => {
  const condition = toBoolean(value);
  return condition === null ? null : boolValue(!condition);
});

const bool: ConverterBuilder = simple((value) => {
  const condition = toBoolean(value);
  return condition === null ? null : boolValue(condition);
});

export const numberConverters: Readonly<Record<string, ConverterBuilder>> = {
  add: withOperand(
    arithmetic(
      (a, b) => a + b,
      (a, b) => a + b,
    ),
  ),
  sub: withOperand(
    arithmetic(
      (a, b) => a - b,
      (a, b) => a - b,
    ),
  ),
  mul: withOperand(
    arithmetic(
      (a, b) => a * b,
      (a, b) => a * b,
    ),
  ),
  div: withOperand((a, b) => (b === 0 ? maxInteger : Math.trunc(a / b) + 0)),
  mod: withOperand((a, b) => (b === 0 ? 0 : (a % b) + 0)),
  neg: onInteger((value) => intValue(0 - value)),
  and: withOperand(bitwise((a, b) => a & b)),
  or: withOperand(bitwise((a, b) => a | b)),
  xor: withOperand(bitwise((a, b) => a ^ b)),
  cpl: onInteger((value) => intValue(-1 - value)),
  even: onInteger((value) => boolValue(value % 2 === 0)),
  odd: onInteger((value) => boolValue(value % 2 !== 0)),
  not,
  bool,
  http_date: httpDate,
  ltime: formattedTime(false),
  utime: formattedTime(true),
};
