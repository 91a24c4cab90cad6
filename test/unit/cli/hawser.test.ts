import { expect, test } from "vitest";
import { hawser } from "../../../cli/hawser.ts";
import { version } from "../../../shared/version.ts";

async function run(...argv: readonly string[]) {
  let out = "";
  let err = "";
  const code = await hawser(argv, {
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
  });
  return { code, out, err };
}

test.each(["--help", "-h"])("%s lists every command", async (flag) => {
  const { code, out, err } = await run(flag);
  expect({ code, err }).toEqual({ code: 0, err: "" });
  for (const command of ["server", "agent", "certs", "demo"])
    expect(out).toMatch(new RegExp(`hawser ${command}\\s+\\S`));
});

test("without a command the help goes to standard error, and the status is 1", async () => {
  const { out } = await run("--help");
  expect(await run()).toEqual({ code: 1, out: "", err: out });
});

test("--version", async () => {
  expect(await run("--version")).toEqual({ code: 0, out: `hawser ${version}\n`, err: "" });
});

test.each([
  ["agnet", "unknown command: agnet (did you mean agent?)"],
  ["certificates", "unknown command: certificates"],
  ["toString", "unknown command: toString"],
  ["--verison", "unknown option: --verison"],
])("%s is unknown: one line, status 1", async (name, sentence) => {
  const expected = `hawser: ${sentence}; hawser --help lists the commands\n`;
  expect(await run(name, "--help")).toEqual({ code: 1, out: "", err: expected });
});
