import { expect, it } from "vitest";
import { type FlagTable, works } from "../../../../shared/options/flag.ts";
import { usageText } from "../../../../shared/options/usage.ts";

const table = {
  mode: { type: "string", default: "grpc", group: "First", help: "What it speaks.", status: works },
  v: { type: "level", default: "4", group: "Second", help: "How much.", status: works, shorthand: "v" },
  wait: {
    type: "duration",
    default: "1h",
    group: "First",
    help: `${"word ".repeat(25)}end.`,
    status: { kind: "no-op", reason: "nobody waits" },
  },
  old: { type: "bool", default: "true", group: "Second", help: "Was.", status: { kind: "deprecated", reason: "gone" } },
  id: {
    type: "string",
    default: "",
    defaultNote: "$ID",
    group: "Second",
    help: "Who.",
    status: works,
  },
  alias: { type: "string", default: "", group: "First", help: "Hidden.", status: works, aliasOf: "mode" },
} as const satisfies FlagTable;

it("shows flags by group with type, default, effect and standing", () => {
  expect(usageText("prog", "Does it.", table)).toBe(`Does it.

Usage: prog [flags]

First:
      --mode string (default grpc)
        What it speaks.
      --wait duration (default 1h0m0s)
        ${"word ".repeat(18).trim()}
        ${"word ".repeat(7)}end. No effect: nobody waits.

Second:
  -v, --v level (default 4)
        How much.
      --old (default true)
        Was. Deprecated: gone.
      --id string (default $ID)
        Who.
`);
});
