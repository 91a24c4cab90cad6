import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatGoDuration, maxTimerMs, parseGoDuration, toTimerMs } from "../../../../shared/options/go-duration.ts";
import {
  formatFloat32,
  parseGoBool,
  parseGoFloat32,
  parseGoInt,
  parseGoInt32,
} from "../../../../shared/options/go-numbers.ts";
import { parseGoQuery } from "../../../../shared/options/go-query.ts";
import { formatStringSlice, parseStringSlice } from "../../../../shared/options/string-slice.ts";
import { goQuote, ValueError } from "../../../../shared/options/value-error.ts";

/** The expected values and texts in this file are what Go's own standard library printed for the same inputs. */
describe("durations", () => {
  it.each([
    ["1h", "1h0m0s"],
    ["100ms", "100ms"],
    ["1.5s", "1.5s"],
    ["0", "0s"],
    ["-0", "0s"],
    ["-2s", "-2s"],
    ["+3m", "3m0s"],
    ["1h0m0.5s", "1h0m0.5s"],
    [".5s", "500ms"],
    ["1.s", "1s"],
    ["9223372036s", "2562047h47m16s"],
    ["1us", "1\u00b5s"],
    ["1\u00b5s", "1\u00b5s"],
    ["1\u03bcs", "1\u00b5s"],
    ["90s", "1m30s"],
    ["1500us", "1.5ms"],
    ["3ns", "3ns"],
    ["100h59m59.999999999s", "100h59m59.999999999s"],
  ])("reads %s and prints %s", (text, printed) => {
    expect(formatGoDuration(parseGoDuration(text))).toBe(printed);
  });

  it.each([
    ["", 'time: invalid duration ""'],
    ["s", 'time: invalid duration "s"'],
    [".s", 'time: invalid duration ".s"'],
    ["-", 'time: invalid duration "-"'],
    ["5", 'time: missing unit in duration "5"'],
    ["1.2.3s", 'time: missing unit in duration "1.2.3s"'],
    ["5d", 'time: unknown unit "d" in duration "5d"'],
    ["1h 2m", 'time: unknown unit "h " in duration "1h 2m"'],
    ["5constructor", 'time: unknown unit "constructor" in duration "5constructor"'],
    ["9223372037s", 'time: invalid duration "9223372037s"'],
    ['"x', 'time: invalid duration "\\"x"'],
  ])("refuses %j", (text, message) => {
    expect(() => parseGoDuration(text)).toThrow(new ValueError(message));
  });

  it("prints what it reads back", () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(2n ** 63n - 1n), max: 2n ** 63n - 1n }), (nanoseconds) => {
        expect(parseGoDuration(formatGoDuration(nanoseconds))).toBe(nanoseconds);
      }),
    );
  });

  it.each([
    ["0", 0],
    ["1ns", 1],
    ["1500us", 2],
    ["1h", 3_600_000],
    ["-1500us", -1],
    ["1000h", maxTimerMs],
  ])("makes %s a timer of %d ms", (text, milliseconds) => {
    expect(toTimerMs(parseGoDuration(text))).toBe(milliseconds);
  });
});

describe("numbers", () => {
  it.each([
    ["0", 0],
    ["-0", 0],
    ["-5", -5],
    ["+7", 7],
    ["0x1F", 31],
    ["0X1f", 31],
    ["017", 15],
    ["0o17", 15],
    ["0b11", 3],
    ["1_000", 1000],
    ["0_7", 7],
    ["0x_1", 1],
    ["00", 0],
  ])("reads the integer %s", (text, value) => {
    expect(parseGoInt(text)).toBe(value);
  });

  it.each(["08", "1__0", "_1", "1_", "abc", "", "1e3", "0x", " 1"])("refuses the integer %j", (text) => {
    expect(() => parseGoInt(text)).toThrow(new ValueError(`strconv.ParseInt: parsing "${text}": invalid syntax`));
  });

  it("refuses an integer out of range", () => {
    const message = 'strconv.ParseInt: parsing "9223372036854775808": value out of range';
    expect(() => parseGoInt("9223372036854775808")).toThrow(new ValueError(message));
  });

  it.each([
    ["4", 4],
    ["+4", 4],
    ["-1", -1],
    ["-0", 0],
    ["010", 10],
  ])("reads the level %s", (text, value) => {
    expect(parseGoInt32(text)).toBe(value);
  });

  it.each([
    ["0x4", "invalid syntax"],
    ["", "invalid syntax"],
    ["1_0", "invalid syntax"],
    ["2147483648", "value out of range"],
    ["-2147483649", "value out of range"],
  ])("refuses the level %j", (text, problem) => {
    expect(() => parseGoInt32(text)).toThrow(new ValueError(`strconv.ParseInt: parsing "${text}": ${problem}`));
  });

  it.each([
    ["0", "0"],
    ["1.5", "1.5"],
    ["1e2", "100"],
    [".5", "0.5"],
    ["5.", "5"],
    ["-2", "-2"],
    ["0.1", "0.1"],
    ["3.4028235e38", "3.4028235e+38"],
  ])("reads the float32 %s and prints %s", (text, printed) => {
    expect(formatFloat32(parseGoFloat32(text))).toBe(printed);
  });

  it.each([
    ["abc", "invalid syntax"],
    ["", "invalid syntax"],
    ["1e40", "value out of range"],
  ])("refuses the float32 %j", (text, problem) => {
    expect(() => parseGoFloat32(text)).toThrow(new ValueError(`strconv.ParseFloat: parsing "${text}": ${problem}`));
  });

  it("prints a float32 that it reads back", () => {
    fc.assert(
      fc.property(fc.float({ noNaN: true, noDefaultInfinity: true }), (value) => {
        expect(parseGoFloat32(formatFloat32(value)) === value).toBe(true);
      }),
    );
  });

  it.each(["1", "t", "T", "TRUE", "true", "True"])("reads %s as true", (text) => {
    expect(parseGoBool(text)).toBe(true);
  });

  it.each(["0", "f", "F", "FALSE", "false", "False"])("reads %s as false", (text) => {
    expect(parseGoBool(text)).toBe(false);
  });

  it.each(["yes", "", "tRUE"])("refuses the boolean %j", (text) => {
    expect(() => parseGoBool(text)).toThrow(new ValueError(`strconv.ParseBool: parsing "${text}": invalid syntax`));
  });
});

describe("string slices", () => {
  it.each([
    ["", []],
    ["a,b", ["a", "b"]],
    ["[]", ["[]"]],
    ["a,", ["a", ""]],
    [",", ["", ""]],
    [" a", [" a"]],
    ['"a,b",c', ["a,b", "c"]],
    ['"a""b"', ['a"b']],
    ['""', [""]],
  ])("reads %j", (text, values) => {
    expect(parseStringSlice(text)).toEqual(values);
  });

  it.each([
    ['a"b', 'parse error on line 1, column 2: bare " in non-quoted-field'],
    ['\u00e9"', 'parse error on line 1, column 3: bare " in non-quoted-field'],
    ['"a', 'parse error on line 1, column 3: extraneous or missing " in quoted-field'],
    ['"a"b', 'parse error on line 1, column 3: extraneous or missing " in quoted-field'],
  ])("refuses %j", (text, message) => {
    expect(() => parseStringSlice(text)).toThrow(new ValueError(message));
  });

  it("prints what it reads back", () => {
    fc.assert(
      fc.property(fc.array(fc.string()), (values) => {
        expect(parseStringSlice(formatStringSlice(values))).toEqual(values);
      }),
    );
  });
});

describe("URL queries", () => {
  it.each([
    ["", []],
    [
      "a=b&c=d",
      [
        ["a", "b"],
        ["c", "d"],
      ],
    ],
    ["a=b+c%20d", [["a", "b c d"]]],
    ["&&a", [["a", ""]]],
    ["a==b", [["a", "=b"]]],
    ["%C3%a9=1", [["\u00e9", "1"]]],
    // biome-ignore lint/suspicious/noTemplateCurlyInString: a stock manifest holds this text, which Kubernetes leaves as it is.
    ["ipv4=${HOST_IP}", [["ipv4", "${HOST_IP}"]]],
  ])("reads %j", (text, pairs) => {
    expect(parseGoQuery(text)).toEqual(pairs);
  });

  it.each([
    ["a=%zz", 'invalid URL escape "%zz"'],
    ["a=%4", 'invalid URL escape "%4"'],
    ["a=%", 'invalid URL escape "%"'],
    ["%2%zz=1", 'invalid URL escape "%2%"'],
    ["a;b=1", "invalid semicolon separator in query"],
  ])("refuses %j", (text, message) => {
    expect(() => parseGoQuery(text)).toThrow(new ValueError(message));
  });
});

it("quotes as Go does", () => {
  expect(goQuote('a"\\\n\x01\x7f\t\u00e9')).toBe('"a\\"\\\\\\n\\x01\\x7f\\t\u00e9"');
  expect(goQuote("\x07\b")).toBe('"\\a\\b"');
});
