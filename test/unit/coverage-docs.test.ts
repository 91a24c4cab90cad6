import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { OurTests, UpstreamTest } from "../support/coverage/covered.ts";
import { agentGaps } from "../support/coverage/gaps-agent.ts";
import { serverGaps } from "../support/coverage/gaps-server.ts";
import { testFile } from "../support/coverage/test-titles.ts";
import { upstreamTests } from "../support/coverage/upstream-tests.ts";
import { repositoryRoot } from "../support/repository-root.ts";

const writes = "`UPDATE_DOCS=1 npx vitest run --project unit test/unit/coverage-docs.test.ts` writes it anew";
const titles =
  "A title may be that of a group of tests; `%s`, `%j`, `$name` and … in it stand for what a table fills in.";

const upstreamIntroduction = `# The reference's own tests, and ours

Generated from \`test/support/coverage/upstream-*.ts\`; ${writes}. A test sees to it that each title below is in the file it is said to be in, and that each row has a test or a word on why not.

\`npm run test:upstream\` runs the reference's own integration tests (its \`tests/\`, at v0.36.0, with its own server and client) with our agent in place of its own. Of 26, 23 pass; three are left out, with the reasons in \`test/interop/upstream-v0.36.0/run.mjs\`.

Which test of ours has the intent of which test of the reference (kubernetes-sigs/apiserver-network-proxy, its master branch after v0.36.0). Files of ours are under \`test/\`. ${titles}
`;

const gapsIntroduction = `# What Hawser does better on the same wire

Generated from \`test/support/coverage/gaps-*.ts\`; ${writes}.

Where the reference falls short, what Hawser does with the same packets, flags and peers, and the tests that would fail if it did not. Two Hawser halves have a link of their own (\`proto/TUNNEL.md\`), of which this page does not speak unless it says so. Files are under \`test/\`. ${titles}
`;

/** A cell of a table: what would end it is escaped. */
const cell = (text: string) => text.replaceAll("|", "\\|");
const quoted = (title: string) => `“${cell(title)}”`;

function testsCell(ours: OurTests = {}): string {
  return Object.entries(ours)
    .map(([file, named]) => `\`${file}\`: ${named.map(quoted).join("; ")}`)
    .join("<br>");
}

function upstreamPage(): string {
  const row = (file: string, { name, ours, note = "" }: UpstreamTest) =>
    `| \`${file}\` | ${name} | ${testsCell(ours)} | ${cell(note)} |`;
  const sections = upstreamTests.map(({ title, files }) => {
    const rows = files.flatMap(({ file, tests }) => tests.map((test) => row(file, test)));
    return [`## ${title}`, "", "| Theirs | Test | Ours | Note |", "|---|---|---|---|", ...rows].join("\n");
  });
  return `${upstreamIntroduction}\n${sections.join("\n\n")}\n`;
}

function gapsPage(): string {
  const sections = [...serverGaps, ...agentGaps].map(({ title, gaps }) => {
    const rows = gaps.map(({ theirs, here, ours, note = "" }) =>
      ["", cell(theirs), cell(here), testsCell(ours), cell(note), ""].join(" | ").trim(),
    );
    return [`## ${title}`, "", "| The reference | Hawser | Tests | Note |", "|---|---|---|---|", ...rows].join("\n");
  });
  return `${gapsIntroduction}\n${sections.join("\n\n")}\n`;
}

const rows = [
  ...upstreamTests.flatMap(({ files }) =>
    files.flatMap(({ file, tests }) => tests.map((test) => ({ ...test, name: `${file} ${test.name}` }))),
  ),
  ...[...serverGaps, ...agentGaps].flatMap(({ gaps }) => gaps.map((gap) => ({ ...gap, name: gap.theirs }))),
];

describe.each([
  ["docs/upstream-tests.md", upstreamPage()],
  ["docs/gaps.md", gapsPage()],
])("%s", (name, page) => {
  it("is what its data say", () => {
    const path = join(repositoryRoot, name);
    if (process.env.UPDATE_DOCS === "1") writeFileSync(path, page);
    expect(readFileSync(path, "utf8")).toBe(page);
  });
});

describe("what is said to be tested", () => {
  it("has a test, or a note that says why not", () => {
    const bare = rows.filter(({ ours = {}, note = "" }) => Object.values(ours).flat().length === 0 && note === "");
    expect(bare.map(({ name }) => name)).toEqual([]);
  });

  it("is tested by tests that there are", () => {
    const missing = rows.flatMap(({ name, ours = {} }) =>
      Object.entries(ours).flatMap(([file, named]) =>
        named.filter((title) => !testFile(file).has(title)).map((title) => `${name}: ${file} has no "${title}"`),
      ),
    );
    expect(missing).toEqual([]);
  });

  it("stands once", () => {
    const names = rows.map(({ name }) => name);
    expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([]);
  });
});
