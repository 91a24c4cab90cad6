import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MessageParser, messageMaxBytes, writePrefix } from "../../../../shared/grpc/framing.ts";
import { GrpcCode } from "../../../../shared/grpc/status.ts";

function framed(body: Uint8Array): Buffer {
  const bytes = Buffer.alloc(5 + body.length);
  writePrefix(bytes, 0, body.length);
  bytes.set(body, 5);
  return bytes;
}

function drain(parser: MessageParser): Buffer[] {
  const messages: Buffer[] = [];
  for (let message = parser.next(); message !== undefined; message = parser.next()) messages.push(message);
  return messages;
}

/** Cuts `bytes` at the given fractions of its length. */
function cut(bytes: Buffer, fractions: readonly number[]): Buffer[] {
  const edges = [0, ...fractions.map((fraction) => Math.floor(fraction * bytes.length)).sort((a, b) => a - b)];
  return edges.map((edge, index) => bytes.subarray(edge, edges[index + 1] ?? bytes.length));
}

describe("MessageParser", () => {
  test("finds the same messages however the bytes are cut", () => {
    const bodies = fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 8 });
    const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 12 });
    fc.assert(
      fc.property(bodies, cuts, fc.boolean(), (messages, fractions, eager) => {
        const parser = new MessageParser();
        const found: Buffer[] = [];
        for (const chunk of cut(Buffer.concat(messages.map(framed)), fractions)) {
          parser.push(chunk);
          if (eager) found.push(...drain(parser));
        }
        found.push(...drain(parser));
        parser.end();
        expect(found.map((message) => message.toString("hex"))).toEqual(
          messages.map((message) => Buffer.from(message).toString("hex")),
        );
      }),
      { numRuns: 1_000 },
    );
  });

  test("a long message comes in pieces where its head allows it, however the bytes are cut", () => {
    const bodies = fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 8 });
    const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 12 });
    fc.assert(
      fc.property(bodies, cuts, (messages, fractions) => {
        /** Three bytes of head, for every message that begins with an even one. */
        const parser = new MessageParser({
          headOf: (start) => (start.length >= 3 && (start[0] ?? 1) % 2 === 0 ? 3 : 0),
        });
        const whole: string[] = [];
        let inPieces = Buffer.alloc(0);
        for (const chunk of cut(Buffer.concat(messages.map(framed)), fractions)) {
          parser.push(chunk);
          for (let found = parser.next(); found !== undefined; found = parser.next()) {
            if (parser.isBulk) inPieces = Buffer.concat([inPieces, found]);
            else whole.push(found.toString("hex"));
          }
        }
        parser.end();
        const rest = messages.map((message) => Buffer.from(message).toString("hex"));
        for (const message of whole) {
          const index = rest.indexOf(message);
          expect(index).toBeGreaterThanOrEqual(0);
          rest.splice(index, 1);
        }
        expect(inPieces.toString("hex")).toBe(rest.map((message) => message.slice(6)).join(""));
      }),
      { numRuns: 1_000 },
    );
  });

  test("a stream that ends inside a message in pieces is broken", () => {
    const parser = new MessageParser({ headOf: () => 1 });
    parser.push(framed(Buffer.alloc(100)).subarray(0, 50));
    expect(parser.next()?.length).toBe(44);
    expect(() => parser.end()).toThrow("the stream ended inside a message");
  });

  test("random bytes give messages or a GrpcError, nothing else", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        const parser = new MessageParser();
        parser.push(Buffer.from(bytes));
        try {
          drain(parser);
        } catch (error) {
          expect(error).toHaveProperty("name", "GrpcError");
        }
      }),
      { numRuns: 1_000 },
    );
  });

  test("does not copy a message that lies in one chunk", () => {
    const chunk = Buffer.concat([framed(Buffer.from("one")), framed(Buffer.from("two"))]);
    const parser = new MessageParser();
    parser.push(chunk);
    for (const message of drain(parser)) expect(message.buffer).toBe(chunk.buffer);
  });

  test("puts a large message together from many chunks", () => {
    const body = Buffer.alloc(messageMaxBytes, "abcdefg");
    const bytes = framed(body);
    const parser = new MessageParser();
    const found: Buffer[] = [];
    for (let at = 0; at < bytes.length; at += 10_007) {
      parser.push(bytes.subarray(at, at + 10_007));
      found.push(...drain(parser));
    }
    expect(found.length).toBe(1);
    expect(found[0]?.equals(body)).toBe(true);
  });

  test.each([
    ["over the limit", "0000400001", GrpcCode.RESOURCE_EXHAUSTED],
    ["compressed", "0100000001", GrpcCode.UNIMPLEMENTED],
    ["with unknown flags", "0200000001", GrpcCode.INTERNAL],
  ])("refuses a message %s by its prefix alone", (_name, prefix, code) => {
    const parser = new MessageParser();
    parser.push(Buffer.from(prefix, "hex"));
    expect(() => parser.next()).toThrow(expect.objectContaining({ code }));
  });

  test.each([1, 4, 5, 7])("an end after %i bytes of a message is an error", (length) => {
    const parser = new MessageParser();
    parser.push(framed(Buffer.from("three")).subarray(0, length));
    expect(parser.next()).toBeUndefined();
    expect(() => parser.end()).toThrow(expect.objectContaining({ code: GrpcCode.INTERNAL }));
  });
});
