import { describe, expect, it } from "vitest";
import { UsageError } from "../../../../shared/errors.ts";
import { type FlagTable, works } from "../../../../shared/options/flag.ts";
import { nearest } from "../../../../shared/options/nearest.ts";
import { parseFlags } from "../../../../shared/options/pflag.ts";

const common = { group: "All", help: "", status: works } as const;
const table = {
  name: { ...common, type: "string", default: "unset" },
  "server-port": { ...common, type: "int", default: "8090" },
  quiet: { ...common, type: "bool", default: "false", shorthand: "q" },
  v: { ...common, type: "level", default: "4", shorthand: "v" },
  rate: { ...common, type: "float32", default: "0.5" },
  interval: { ...common, type: "duration", default: "1s" },
  list: { ...common, type: "strings", default: "x" },
  labels: { ...common, type: "selector", default: "a=b" },
  label: { ...common, type: "selector", default: "a=b", aliasOf: "labels" },
} as const satisfies FlagTable;

const defaults = {
  name: "unset",
  "server-port": 8090,
  quiet: false,
  v: 4,
  rate: 0.5,
  interval: 1_000_000_000n,
  list: ["x"],
  labels: "a=b",
};

describe("a command line", () => {
  it.each<[string[], Partial<Record<keyof typeof defaults, unknown>>]>([
    [[], {}],
    [["--name=a"], { name: "a" }],
    [["--name", "a"], { name: "a" }],
    [["--name="], { name: "" }],
    [["--name", ""], { name: "" }],
    [["--name", "--quiet"], { name: "--quiet" }],
    [["--name=a=b"], { name: "a=b" }],
    [["--name=a", "--name=b"], { name: "b" }],
    [["--server-port=0x10"], { "server-port": 16 }],
    [["--server_port=1"], { "server-port": 1 }],
    [["--quiet"], { quiet: true }],
    [["--quiet", "false"], { quiet: true }],
    [["--quiet=false"], { quiet: false }],
    [["--quiet=F"], { quiet: false }],
    [["-q"], { quiet: true }],
    [["-q=false"], { quiet: false }],
    [["-v", "5"], { v: 5 }],
    [["-v=5"], { v: 5 }],
    [["-v5"], { v: 5 }],
    [["--v=5"], { v: 5 }],
    [["--v", "5"], { v: 5 }],
    [["-qv5"], { quiet: true, v: 5 }],
    [["-v", "-1"], { v: -1 }],
    [["--rate=1.25"], { rate: 1.25 }],
    [["--interval=1h0m0s"], { interval: 3_600_000_000_000n }],
    [["--interval", "100ms"], { interval: 100_000_000n }],
    [["--list=a", "--list=b,c"], { list: ["a", "b", "c"] }],
    [["--list="], { list: [] }],
    [["--list=[]"], { list: ["[]"] }],
    [["--label=c=d"], { labels: "c=d" }],
    [["--labels=c=d", "--label=e"], { labels: "e" }],
    [["word", "--name=a", "-", "word"], { name: "a" }],
    [["--name=a", "--", "--name=b", "--unknown"], { name: "a" }],
  ])("%j", (argv, changed) => {
    expect(parseFlags(argv, table).values).toEqual({ ...defaults, ...changed });
  });

  it.each<[string[], string]>([
    [["--name"], "flag needs an argument: --name"],
    [["-v"], "flag needs an argument: 'v' in -v"],
    [["-qv"], "flag needs an argument: 'v' in -v"],
    [["--="], "bad flag syntax: --="],
    [["---name"], "bad flag syntax: ---name"],
    [["--zzzzzzzz"], "unknown flag: --zzzzzzzz"],
    [["--zzzzzzzz=1"], "unknown flag: --zzzzzzzz"],
    [["--constructor"], "unknown flag: --constructor"],
    [["--sever-port=1"], "unknown flag: --sever-port (did you mean --server-port?)"],
    [["--server_prt=1"], "unknown flag: --server_prt (did you mean --server-port?)"],
    [["-x"], "unknown shorthand flag: 'x' in -x"],
    [["-qx"], "unknown shorthand flag: 'x' in -x"],
    [["-server-port=1"], "unknown shorthand flag: 's' in -server-port=1 (did you mean --server-port?)"],
    [
      ["--server-port=x"],
      'invalid argument "x" for "--server-port" flag: strconv.ParseInt: parsing "x": invalid syntax',
    ],
    [["-v", "x"], 'invalid argument "x" for "-v, --v" flag: strconv.ParseInt: parsing "x": invalid syntax'],
    [["-v="], 'invalid argument "=" for "-v, --v" flag: strconv.ParseInt: parsing "=": invalid syntax'],
    [
      ["--quiet=maybe"],
      'invalid argument "maybe" for "-q, --quiet" flag: strconv.ParseBool: parsing "maybe": invalid syntax',
    ],
    [["--interval=5"], 'invalid argument "5" for "--interval" flag: time: missing unit in duration "5"'],
    [["--rate=x"], 'invalid argument "x" for "--rate" flag: strconv.ParseFloat: parsing "x": invalid syntax'],
    [
      ['--list=a"b'],
      'invalid argument "a\\"b" for "--list" flag: parse error on line 1, column 2: bare " in non-quoted-field',
    ],
  ])("%j is refused", (argv, message) => {
    expect(() => parseFlags(argv, table)).toThrow(new UsageError(message));
  });

  it("names an alias as it was written", () => {
    expect(() => parseFlags(["--label=*"], table)).toThrow('invalid argument "*" for "--label" flag: ');
  });

  it("tells which flags it held", () => {
    const { explicit } = parseFlags(["--server_port=1", "-q", "--label=a", "-v4"], table);
    expect([...explicit]).toEqual(["server-port", "quiet", "label", "v"]);
  });
});

describe("the nearest name", () => {
  const names = ["server-port", "server-cert", "mode"];

  it.each([
    ["server-prot", "server-port"],
    ["servercert", "server-cert"],
    ["mod", "mode"],
    ["agent-listener", undefined],
    ["", undefined],
  ])("to %j is %s", (word, expected) => {
    expect(nearest(word, names)).toBe(expected);
  });
});
