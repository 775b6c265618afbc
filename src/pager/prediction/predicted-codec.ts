/**
 * The bytes of what was learned of an app: for each level its numbers and the likelihood of its pages, in runs of pages that are next to each
 * other and equally likely; the pages of the last run; a checksum. Some 3 bytes per run, and pages that were always touched together are few runs.
 */
import {crc32} from 'node:zlib';
import {VarintReader, VarintWriter} from '../checkpoints/varint.ts';
import {byteOf, isNewcomer, likelihoodOf, newcomer, PageLikelihoods} from './page-likelihoods.ts';
import {PageSet} from './page-set.ts';
import {emptyLevel, emptyModel, type Level, type Likelihoods, type Model, type Sample, wholeApp} from './predicted-model.ts';

/** 1 and 2 were JSON, and had one set per app. */
const formatVersion = 3;
/** Shares and means are stored as multiples of this. */
const unit = 1 / 4096;
const maxPage = 2 ** 35;

export function encodeModel(model: Model): Buffer {
  const writer = new VarintWriter();
  writer.write(formatVersion);
  writer.write(model.wakes);
  for (const {taken, unused} of [model.blocks, model.pages]) for (const value of [taken, unused]) writer.write(Math.round(value / unit));
  writer.write(model.last.size);
  for (const [pid, set] of model.last) {
    writer.write(pid);
    writeRuns(writer, set.ranges());
  }
  writer.write(model.levels.size);
  for (const level of model.levels.values()) writeLevel(writer, level);
  const body = writer.finish();
  const sum = Buffer.alloc(4);
  sum.writeUInt32LE(crc32(body));
  return Buffer.concat([body, sum]);
}

function writeLevel(writer: VarintWriter, {key, pages, wakes, lastWake, returnRate, means}: Level): void {
  const name = Buffer.from(key, 'latin1');
  writer.write(name.length);
  writer.writeBytes(name);
  for (const number of [wakes, lastWake]) writer.write(number);
  for (const value of [returnRate, means.installed, means.unused, means.faults]) writer.write(Math.round(value / unit));
  writer.write(pages.size);
  for (const [pid, process] of pages) {
    writer.write(pid);
    writeRuns(writer, process.runs());
  }
}

/** Their number, and of each the distance from the one before, the length, and the byte if there is one. */
function writeRuns(writer: VarintWriter, runs: Iterable<{readonly page: number; readonly count: number; readonly byte?: number}>): void {
  const all = [...runs];
  writer.write(all.length);
  let end = 0;
  for (const {page, count, byte} of all) {
    writer.write(page - end);
    writer.write(count);
    if (byte !== undefined) writer.write(byte);
    end = page + count;
  }
}

/** @throws RangeError when the bytes are not what `encodeModel()` wrote */
export function decodeModel(data: Buffer): Model {
  // The version comes first in all versions: another one is no damage.
  const version = new VarintReader(data).read();
  if (version !== formatVersion) throw new RangeError(`its format is ${version}, not ${formatVersion}`);
  const body = data.subarray(0, Math.max(0, data.length - 4));
  if (data.length < 5 || crc32(body) !== data.readUInt32LE(body.length)) throw new RangeError('its checksum is wrong');
  const reader = new VarintReader(body);
  reader.read();
  const model = emptyModel();
  model.wakes = reader.read();
  Object.assign(model.blocks, readSample(reader));
  Object.assign(model.pages, readSample(reader));
  for (let left = reader.read(); left > 0; left -= 1) {
    const [pid, set] = [reader.read(), new PageSet()];
    readRuns(reader, false, (page, count) => set.add({page, count}));
    model.last.set(pid, set);
  }
  for (let left = reader.read(); left > 0; left -= 1) {
    const level = readLevel(reader);
    model.levels.set(level.key, level);
  }
  if (!reader.done || !model.levels.has(wholeApp)) throw new RangeError('something is missing in it, or left');
  return model;
}

function readSample(reader: VarintReader): Sample {
  return {taken: reader.read() * unit, unused: reader.read() * unit};
}

function readLevel(reader: VarintReader): Level {
  const key = reader.readBytes(reader.read()).toString('latin1');
  const [wakes, lastWake] = [reader.read(), reader.read()];
  const level: Level = {...emptyLevel(key), wakes, lastWake, returnRate: reader.read() * unit};
  Object.assign(level.means, {installed: reader.read() * unit, unused: reader.read() * unit, faults: reader.read() * unit});
  const pages: Likelihoods = level.pages;
  for (let left = reader.read(); left > 0; left -= 1) {
    const [pid, process] = [reader.read(), new PageLikelihoods()];
    readRuns(reader, true, (page, count, byte) => {
      const valid = isNewcomer(byte) ? newcomer(likelihoodOf(byte)) : byteOf(likelihoodOf(byte));
      for (let at = page; at < page + count; at += 1) process.set(at, valid);
    });
    pages.set(pid, process);
  }
  return level;
}

function readRuns(reader: VarintReader, withByte: boolean, found: (page: number, count: number, byte: number) => void): void {
  for (let left = reader.read(), end = 0; left > 0; left -= 1) {
    const page = end + reader.read();
    const count = reader.read();
    end = page + count;
    if (end > maxPage) throw new RangeError('a page in it lies outside of any address space');
    found(page, count, withByte ? reader.read() : 0);
  }
}
