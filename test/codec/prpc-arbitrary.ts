/** Random messages of the RPC table for property tests. */
import fc from 'fast-check';
import { type Field, fieldsOf, type Message, type MessageName } from '../../src/codec/prpc-messages.ts';

function anySingle(field: Field): fc.Arbitrary<unknown> {
  if (typeof field.type === 'object') return anyMessage(field.type.message as MessageName);
  switch (field.type) {
    case 'string':
      return fc.string({ unit: 'grapheme' });
    case 'bytes':
      return fc.uint8Array({ maxLength: 80 });
    case 'bool':
      return fc.boolean();
    case 'u32':
      return fc.nat(0xffff_ffff);
    case 'u64':
      return fc.maxSafeNat();
    case 'i64':
      return fc.maxSafeInteger();
  }
}

export function anyMessage<N extends MessageName>(name: N): fc.Arbitrary<Message<N>> {
  const shape = [...fieldsOf(name)].map(([key, field]) => {
    if (field.repeated) return [key, fc.array(anySingle(field), { maxLength: 3 })] as const;
    return [key, field.optional ? fc.option(anySingle(field), { nil: undefined }) : anySingle(field)] as const;
  });
  return fc.record(Object.fromEntries(shape)) as unknown as fc.Arbitrary<Message<N>>;
}
