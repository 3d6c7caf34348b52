/**
 * Requests in protobuf. What our reader accepts, the library's own reader of messages (from a descriptor that is made of
 * the same table) must accept and read the same; unknown fields and repetitions included.
 */
import { create, createFileRegistry, type DescMessage, fromBinary } from '@bufbuild/protobuf';
import { reflect } from '@bufbuild/protobuf/reflect';
import {
  FieldDescriptorProtoSchema,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
} from '@bufbuild/protobuf/wkt';
import { type Field, fieldsOf, MESSAGES, type MessageName } from '../../../src/codec/prpc-messages.ts';
import { decodeProtobuf, encodeProtobuf } from '../../../src/codec/prpc-protobuf.ts';
import { type FuzzTarget, same } from '../target.ts';
import { NAMES } from './rpc-json.ts';

const TYPES = {
  string: Type.STRING,
  bytes: Type.BYTES,
  bool: Type.BOOL,
  u32: Type.UINT32,
  u64: Type.UINT64,
  i64: Type.INT64,
} as const;

function fieldOf(name: string, { no, type, repeated, optional }: Field, oneof: number | undefined) {
  return create(FieldDescriptorProtoSchema, {
    name,
    number: no,
    label: repeated ? Label.REPEATED : Label.OPTIONAL,
    type: typeof type === 'object' ? Type.MESSAGE : TYPES[type],
    ...(typeof type === 'object' ? { typeName: `.d.${type.message}` } : {}),
    ...(optional ? { proto3Optional: true, oneofIndex: oneof ?? 0 } : {}),
  });
}

const registry = createFileRegistry(
  create(FileDescriptorSetSchema, {
    file: [
      create(FileDescriptorProtoSchema, {
        name: 'd.proto',
        package: 'd',
        syntax: 'proto3',
        messageType: NAMES.map((name) => {
          const optional = [...fieldsOf(name)].filter(([, field]) => field.optional).map(([key]) => key);
          return {
            name,
            field: [...fieldsOf(name)].map(([key, field]) => fieldOf(key, field, optional.indexOf(key))),
            oneofDecl: optional.map((key) => ({ name: `_${key}` })),
          };
        }),
      }),
    ],
  }),
);

/** The message as the library read it, in the shape of ours. */
function plain(desc: DescMessage, message: ReturnType<typeof reflect>): Record<string, unknown> {
  const table = fieldsOf(desc.name as MessageName);
  return Object.fromEntries(
    desc.fields.map((field) => {
      const own = table.get(field.name) as Field;
      if (own.repeated)
        return [field.name, [...(message.get(field) as Iterable<unknown>)].map((item) => value(own, item))];
      const isMessage = typeof own.type === 'object';
      if ((own.optional || isMessage) && !message.isSet(field)) return [field.name, undefined];
      return [field.name, value(own, message.get(field))];
    }),
  );
}

function value({ type }: Field, item: unknown): unknown {
  if (typeof type === 'object') {
    const inner = item as ReturnType<typeof reflect>;
    return plain(inner.desc, inner);
  }
  return typeof item === 'bigint' ? Number(item) : item;
}

/** A message that is not there is one of defaults for us. */
function withoutDefaults(name: MessageName, message: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    [...fieldsOf(name)].flatMap(([key, { type, repeated }]) => {
      if (typeof type !== 'object' || message[key] === undefined) return [[key, message[key]]];
      const inner = type.message as MessageName;
      const one = (item: unknown) => withoutDefaults(inner, item as Record<string, unknown>);
      return [[key, repeated ? (message[key] as unknown[]).map(one) : one(message[key])]];
    }),
  );
}

const hasMessages = (name: MessageName): boolean =>
  [...fieldsOf(name).values()].some(({ type, repeated }) => typeof type === 'object' && !repeated);

const target: FuzzTarget = {
  limit: 4096,
  dictionary: [
    Uint8Array.of(0x0a, 0),
    Uint8Array.of(0x08, 1),
    Uint8Array.of(0x0b, 0x0c),
    Uint8Array.of(0x0d, 0, 0, 0, 0),
    Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1),
    Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0x0f),
    Uint8Array.of(0x80, 0),
  ],
  run(input) {
    const name = NAMES[(input[0] ?? 0) % NAMES.length] as MessageName;
    const bytes = input.subarray(1);
    const message = decodeProtobuf(name, bytes);
    const again = decodeProtobuf(name, encodeProtobuf(name, message));
    same('read again', again, message);
    // of single messages inside, the library merges repetitions; ours has none in its requests
    if (name === 'Empty' || hasMessages(name)) return;
    const desc = registry.getMessage(`d.${name}`) as DescMessage;
    const theirs = plain(desc, reflect(desc, fromBinary(desc, bytes)));
    same('as the library reads it', message, withoutDefaults(name, theirs));
  },
};
export default target;
export const MESSAGE_NAMES = Object.keys(MESSAGES);
