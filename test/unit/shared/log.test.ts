import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { UsageError } from "../../../shared/errors.ts";
import { type LogFormat, levelOfVerbosity, openLog } from "../../../shared/log.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "hawser-log-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

function logged(format: LogFormat, verbosity: number, write: (log: ReturnType<typeof openLog>) => void): string {
  const file = join(folder, "log");
  write(openLog({ format, verbosity, file, stderr: false }));
  return readFileSync(file, "utf8");
}

it.each([
  [0, "info"],
  [4, "info"],
  [5, "debug"],
  [6, "trace"],
  [10, "trace"],
] as const)("verbosity %d is %s", (verbosity, level) => {
  expect(levelOfVerbosity(verbosity)).toBe(level);
});

it("writes one JSON object a line, with the level's name, and nothing below its level", () => {
  const text = logged("json", 4, (log) => {
    log.info({ dial: "7" }, "one");
    log.debug("hidden");
    log.error({ err: new Error("boom") }, "two");
  });
  const lines = text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(lines).toMatchObject([
    { level: "info", msg: "one", dial: "7", time: expect.stringMatching(/^\d{4}-\d\d-\d\dT/) },
    { level: "error", msg: "two", err: { message: "boom" } },
  ]);
});

it("goes on when the disk is full, and says so once on standard error", () => {
  const said = vi.spyOn(process.stderr, "write").mockReturnValue(true);
  const log = openLog({ format: "json", verbosity: 4, file: "/dev/full", stderr: false });
  for (const line of ["one", "two", "three"]) log.info(line);
  const lines = said.mock.calls.map(([text]) => String(text));
  said.mockRestore();
  expect(lines).toEqual([expect.stringMatching(/^--log-file \/dev\/full: lines are lost: ENOSPC/)]);
});

describe("text", () => {
  const line = (fields: object) => logged("text", 4, (log) => log.info(fields, "connection closed"));

  it("is time, level, message and pairs", () => {
    expect(line({ by: "frontend", bytesToEndpoint: 3 })).toMatch(
      /^\d{4}-\d\d-\d\dT\S+ INFO connection closed by=frontend bytesToEndpoint=3\n$/,
    );
  });

  it("quotes what would read as more than one pair", () => {
    expect(line({ reason: 'a "b" c=d', destination: "x=y", empty: "" })).toContain(
      ' reason="a \\"b\\" c=d" destination="x=y" empty=""\n',
    );
  });

  it.each(["\u001b[2J", "\u0007", "a\nb", "\u009b31m", "\u007f", "\u2028"])(
    "escapes what a terminal would obey: %j",
    (value) => {
      const text = line({ destination: value }).trimEnd();
      expect(text).toMatch(/^[\x20-\x7e]+$/);
      expect(JSON.parse(text.slice(text.indexOf("destination=") + "destination=".length))).toBe(value);
    },
  );

  it("tells of an error by its message", () => {
    expect(line({ err: new Error("boom bang") })).toMatch(/ err="boom bang"\n$/);
  });
});

it("says which file cannot be written", () => {
  const file = join(folder, "missing", "log");
  const open = () => openLog({ format: "json", verbosity: 0, file, stderr: false });
  expect(open).toThrow(UsageError);
  expect(open).toThrow(file);
});
