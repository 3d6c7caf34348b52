/**
 * The protobuf mapping of prpc messages (proto3 wire format), from the same table as the JSON mapping. Fields with their
 * default are not written, unknown fields are skipped, the last occurrence of a single field wins.
 */
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { DstackError } from '../errors.ts';
import { defaultsOf, type Field, fieldsOf, type Message, type MessageName, type ScalarType } from './prpc-messages.ts';

const NESTING_LIMIT = 16;
/** Keeps a byte order mark, as the JSON mapping does: the path of a key with one is another path. */
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Encodes a message; `Empty` has no bytes. */
export function encodeProtobuf<N extends MessageName>(name: N, message: Message<N>): Uint8Array {
  const writer = new BinaryWriter();
  write(writer, name, message as Record<string, unknown>);
  return writer.finish();
}

function write(writer: BinaryWriter, name: MessageName, message: Record<string, unknown>): void {
  for (const [key, field] of fieldsOf(name)) {
    const value = message[key];
    if (field.repeated) {
      const items = value as unknown[];
      if (items.length > 0 && isNumeric(field)) {
        writer.tag(field.no, WireType.LengthDelimited).fork(); // proto3 packs numbers
        for (const item of items) writeScalar(writer, field.type as ScalarType, item);
        writer.join();
      } else for (const item of items) writeField(writer, field, item);
    } else if (value !== undefined && (field.optional || !isDefault(field, value))) writeField(writer, field, value);
  }
}

const isNumeric = ({ type }: Field): boolean => typeof type !== 'object' && type !== 'string' && type !== 'bytes';

function isDefault(field: Field, value: unknown): boolean {
  if (typeof field.type === 'object') return false;
  return field.type === 'bytes' ? (value as Uint8Array).length === 0 : value === '' || value === 0 || value === false;
}

function writeField(writer: BinaryWriter, field: Field, value: unknown): void {
  if (typeof field.type === 'object') {
    writer.tag(field.no, WireType.LengthDelimited).fork();
    write(writer, field.type.message as MessageName, value as Record<string, unknown>);
    writer.join();
    return;
  }
  writer.tag(field.no, isNumeric(field) ? WireType.Varint : WireType.LengthDelimited);
  writeScalar(writer, field.type, value);
}

function writeScalar(writer: BinaryWriter, type: ScalarType, value: unknown): void {
  if (type === 'string') writer.string(value as string);
  else if (type === 'bytes') writer.bytes(value as Uint8Array);
  else if (type === 'bool') writer.bool(value as boolean);
  else if (type === 'u32') writer.uint32(value as number);
  else if (type === 'u64') writer.uint64(value as number);
  else writer.int64(value as number);
}

/**
 * Decodes a protobuf body; no bytes have all defaults.
 * @throws RPC_REQUEST_INVALID
 */
export function decodeProtobuf<N extends MessageName>(name: N, bytes: Uint8Array): Message<N> {
  if (name === 'Empty') return defaultsOf(name);
  try {
    const reader = new BinaryReader(bytes, (text) => UTF8.decode(text));
    return read(reader, name, reader.len, 0) as Message<N>;
  } catch (thrown) {
    if (thrown instanceof DstackError) throw thrown;
    throw new DstackError('RPC_REQUEST_INVALID', 'the request body is not a valid protobuf message', {
      field: 'body',
      cause: thrown,
    });
  }
}

function read(reader: BinaryReader, name: MessageName, end: number, depth: number): Record<string, unknown> {
  if (depth > NESTING_LIMIT)
    throw new DstackError('RPC_REQUEST_INVALID', 'the request is nested too deeply', { field: 'body' });
  if (end > reader.len) throw new DstackError('RPC_REQUEST_INVALID', `message ${name} is cut off`, { field: 'body' });
  const byNumber = new Map([...fieldsOf(name)].map(([key, field]) => [field.no, { key, field }]));
  const out = defaultsOf(name) as Record<string, unknown>;
  while (reader.pos < end) {
    const [no, wire] = reader.tag();
    const known = byNumber.get(no);
    if (known === undefined) {
      reader.skip(wire, no);
      continue;
    }
    const { key, field } = known;
    const packed = field.repeated && isNumeric(field) && wire === WireType.LengthDelimited;
    const expected = isNumeric(field) ? WireType.Varint : WireType.LengthDelimited;
    if (!packed && wire !== expected)
      throw new DstackError('RPC_REQUEST_INVALID', `field ${key} has wire type ${wire} instead of ${expected}`, {
        field: key,
      });
    if (packed) {
      const stop = reader.uint32() + reader.pos;
      while (reader.pos < stop) (out[key] as unknown[]).push(readScalar(reader, field.type as ScalarType, key));
    } else {
      const value = readField(reader, field, key, depth);
      if (field.repeated) (out[key] as unknown[]).push(value);
      else out[key] = value;
    }
  }
  if (reader.pos !== end)
    throw new DstackError('RPC_REQUEST_INVALID', `message ${name} ends inside a field`, { field: 'body' });
  return out;
}

function readField(reader: BinaryReader, field: Field, key: string, depth: number): unknown {
  if (typeof field.type !== 'object') return readScalar(reader, field.type, key);
  const length = reader.uint32();
  return read(reader, field.type.message as MessageName, reader.pos + length, depth + 1);
}

function readScalar(reader: BinaryReader, type: ScalarType, key: string): unknown {
  if (type === 'string') return reader.string();
  if (type === 'bytes') return new Uint8Array(reader.bytes());
  if (type === 'bool') return reader.bool();
  if (type === 'u32') return reader.uint32();
  const value = Number(type === 'u64' ? reader.uint64() : reader.int64());
  if (!Number.isSafeInteger(value))
    throw new DstackError('RPC_REQUEST_INVALID', `field ${key} is out of range`, { field: key });
  return value;
}
