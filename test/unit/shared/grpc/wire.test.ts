import type { OutgoingHttpHeaders } from "node:http2";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { metadataOf } from "../../../../shared/grpc/metadata.ts";
import { addMetadata, metadataFromRaw } from "../../../../shared/grpc/metadata-wire.ts";
import { GrpcCode, GrpcError, grpcCodeName } from "../../../../shared/grpc/status.ts";
import {
  decodeStatusMessage,
  encodeStatusMessage,
  grpcCodeOfHttpStatus,
  statusFromHeaders,
  statusToHeaders,
} from "../../../../shared/grpc/status-wire.ts";
import { decodeTimeout, encodeTimeout, timerMaxMs } from "../../../../shared/grpc/timeout.ts";

describe("status", () => {
  test("a message survives the wire, which sees printable ASCII only", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme", maxLength: 100 }), (message) => {
        const encoded = encodeStatusMessage(message);
        expect(encoded).toMatch(/^[\x20-\x7e]*$/);
        expect(decodeStatusMessage(encoded)).toBe(message);
      }),
    );
  });

  test("a message that is badly encoded stays readable", () => {
    expect(decodeStatusMessage("100 % of %zz and %4")).toBe("100 % of %zz and %4");
    expect(decodeStatusMessage("%ff!")).toBe("\u{fffd}!");
  });

  test("a very long message is cut", () => {
    expect(encodeStatusMessage("é".repeat(100_000)).length).toBeLessThan(16_384);
  });

  test("every code has a name and comes back", () => {
    for (const [name, code] of Object.entries(GrpcCode)) {
      expect(grpcCodeName(code)).toBe(name);
      const headers = statusToHeaders({ code, message: "x" });
      expect(statusFromHeaders(headers["grpc-status"], headers["grpc-message"])).toEqual({ code, message: "x" });
    }
    expect(statusFromHeaders(undefined, "x")).toBeUndefined();
    expect(statusFromHeaders("17", undefined)?.code).toBe(GrpcCode.UNKNOWN);
    expect(statusFromHeaders("-1", undefined)?.code).toBe(GrpcCode.UNKNOWN);
  });

  test.each([
    [400, "INTERNAL"],
    [403, "PERMISSION_DENIED"],
    [429, "UNAVAILABLE"],
    [500, "UNKNOWN"],
    [502, "UNAVAILABLE"],
  ])("HTTP %i means %s", (http, name) => expect(grpcCodeName(grpcCodeOfHttpStatus(http))).toBe(name));
});

describe("metadata", () => {
  test("bytes travel as base64 without padding, and are read with it or without, joined or repeated", () => {
    const headers: OutgoingHttpHeaders = {};
    addMetadata(headers, metadataOf({ "A-Bin": Buffer.from([255]), plain: "x" }));
    expect(headers).toEqual({ "a-bin": "/w", plain: "x" });
    const metadata = metadataFromRaw(["a-bin", "/w,AAE=", "a-bin", "/w==", ":path", "/x", "te", "trailers", "k", "v"]);
    const byte = Buffer.from([255]);
    expect(metadata).toEqual(
      new Map<string, unknown>([
        ["a-bin", [byte, Buffer.from([0, 1]), byte]],
        ["k", ["v"]],
      ]),
    );
  });

  test("repeated keys keep their order, also those that HTTP knows once only", () => {
    const raw = ["authorization", "one", "other", "x", "authorization", "two"];
    expect(metadataFromRaw(raw).get("authorization")).toEqual(["one", "two"]);
  });

  test.each(["line\nbreak", "tab\t", "naïve", "\u{0}"])(
    "the value %j is refused, and not named in the error",
    (value) => {
      const attempt = () => addMetadata({}, metadataOf({ key: value }));
      expect(attempt).toThrow(GrpcError);
      expect(attempt).not.toThrow(value);
    },
  );

  test.each(["*", "a", "ab=c", "a==="])("%j is not base64", (text) => {
    expect(() => metadataFromRaw(["a-bin", text])).toThrow(GrpcError);
  });
});

describe("timeout", () => {
  test("comes back no shorter, and at most by its unit longer", () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: timerMaxMs, noNaN: true }), (ms) => {
        const text = encodeTimeout(ms);
        expect(text).toMatch(/^\d{1,8}[HSm]$/);
        expect(decodeTimeout(text)).toBeGreaterThanOrEqual(Math.min(ms, timerMaxMs));
        expect(decodeTimeout(text)).toBeLessThanOrEqual(ms + 1_000);
      }),
    );
  });

  test.each([
    ["1H", 3_600_000],
    ["2M", 120_000],
    ["3S", 3_000],
    ["4m", 4],
    ["5000u", 5],
    ["6000000n", 6],
    ["1n", 1],
    ["99999999H", timerMaxMs],
  ])("%s is %i ms", (text, ms) => expect(decodeTimeout(text)).toBe(ms));

  test.each(["", "1", "m", "-1m", "123456789m", "1.5S", "1 S"])("%j is malformed", (text) => {
    expect(() => decodeTimeout(text)).toThrow(GrpcError);
  });
});
