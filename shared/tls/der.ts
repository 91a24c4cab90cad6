import forge from "node-forge";

/** DER as node-forge models it, with the few shapes that a certificate is made of. */
const { asn1 } = forge;
const { Class, Type } = asn1;
export type Asn1 = forge.asn1.Asn1;

const primitive = (type: forge.asn1.Type, bytes: string): Asn1 => asn1.create(Class.UNIVERSAL, type, false, bytes);

export const sequence = (...items: Asn1[]): Asn1 => asn1.create(Class.UNIVERSAL, Type.SEQUENCE, true, items);
export const set = (...items: Asn1[]): Asn1 => asn1.create(Class.UNIVERSAL, Type.SET, true, items);
export const boolean = (value: boolean): Asn1 => primitive(Type.BOOLEAN, value ? "\xff" : "\x00");
export const nothing = (): Asn1 => primitive(Type.NULL, "");
export const oid = (dotted: string): Asn1 => primitive(Type.OID, asn1.oidToDer(dotted).getBytes());
export const octetString = (content: Buffer): Asn1 => primitive(Type.OCTETSTRING, content.toString("latin1"));
export const utf8String = (text: string): Asn1 => primitive(Type.UTF8, Buffer.from(text).toString("latin1"));

/** `content` is the number in big-endian two's complement without superfluous leading bytes. */
export const integer = (content: Buffer): Asn1 => primitive(Type.INTEGER, content.toString("latin1"));

/** `unusedBits` counts the padding at the end of the last byte. */
export const bitString = (content: Buffer, unusedBits = 0): Asn1 =>
  primitive(Type.BITSTRING, String.fromCharCode(unusedBits) + content.toString("latin1"));

/** UTCTime until 2049 and GeneralizedTime after it, as RFC 5280 4.1.2.5 demands. Whole seconds. */
export const time = (date: Date): Asn1 =>
  date.getUTCFullYear() < 2050
    ? primitive(Type.UTCTIME, asn1.dateToUtcTime(date))
    : primitive(Type.GENERALIZEDTIME, asn1.dateToGeneralizedTime(date));

/** `[tag]` around whole values. */
export const explicit = (tag: number, ...items: Asn1[]): Asn1 => asn1.create(Class.CONTEXT_SPECIFIC, tag, true, items);

/** `[tag]` in place of a string type's own tag. */
export const implicit = (tag: number, content: Buffer): Asn1 =>
  asn1.create(Class.CONTEXT_SPECIFIC, tag, false, content.toString("latin1"));

export const encode = (value: Asn1): Buffer => Buffer.from(asn1.toDer(value).getBytes(), "latin1");
export const decode = (der: Buffer): Asn1 => asn1.fromDer(der.toString("latin1"));

/** The parts of a constructed value; none for a primitive one. */
export const partsOf = (value: Asn1 | undefined): readonly Asn1[] => (Array.isArray(value?.value) ? value.value : []);
/** The content of a primitive value; empty for a constructed one. */
export const contentOf = (value: Asn1 | undefined): Buffer =>
  Buffer.from(typeof value?.value === "string" ? value.value : "", "latin1");
/** The dotted form if this is an object identifier. */
export const oidOf = (value: Asn1 | undefined): string | undefined =>
  value?.type === Type.OID && typeof value.value === "string" ? asn1.derToOid(value.value) : undefined;
