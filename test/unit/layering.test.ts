import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, expect, it } from "vitest";
import { repositoryRoot } from "../support/repository-root.ts";

const folder = mkdtempSync(join(tmpdir(), "hawser-layering-"));
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Writes a small source tree under the project's own biome.json and returns what its linter says, as `file rule`. */
function lint(files: Readonly<Record<string, string>>): readonly string[] {
  copyFileSync(join(repositoryRoot, "biome.json"), join(folder, "biome.json"));
  for (const [name, source] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), source);
  }
  const biome = join(repositoryRoot, "node_modules", ".bin", "biome");
  const { stdout } = spawnSync(biome, ["lint", "--vcs-enabled=false", "--reporter=json", "."], {
    cwd: folder,
    encoding: "utf8",
  });
  const { diagnostics } = JSON.parse(stdout) as {
    diagnostics: { category: string; location: { path: string | { file: string } } }[];
  };
  return diagnostics
    .map(
      ({ category, location: { path } }) =>
        `${typeof path === "string" ? path : path.file} ${category.split("/").at(-1)}`,
    )
    .sort();
}

it("a folder is a direction, and nothing goes in circles", () => {
  const uses = (what: string) => `import { it } from "${what}";\nexport const mine = () => it;\n`;
  const fine = "export const it = 1;\n";
  expect(
    lint({
      "shared/base.ts": fine,
      "shared/links/up.ts": uses("../../server/fine.ts"),
      "shared/one.ts": 'import { two } from "./two.ts";\nexport const one = () => two;\n',
      "shared/two.ts": 'import { one } from "./one.ts";\nexport const two = () => one;\n',
      "server/fine.ts": fine,
      "server/uses-shared.ts": uses("../shared/base.ts"),
      "server/uses-agent.ts": uses("../agent/fine.ts"),
      "server/links/uses-cli.ts": uses("../../cli/fine.ts"),
      "agent/fine.ts": fine,
      "agent/uses-server.ts": uses("../server/fine.ts"),
      "agent/links/uses-test.ts": uses("../../test/fine.ts"),
      "cli/fine.ts": fine,
      "cli/uses-both.ts": `${uses("../server/fine.ts")}export { it as other } from "../agent/fine.ts";\n`,
      "test/fine.ts": fine,
    }),
  ).toEqual([
    "agent/links/uses-test.ts noRestrictedImports",
    "agent/uses-server.ts noRestrictedImports",
    "server/links/uses-cli.ts noRestrictedImports",
    "server/uses-agent.ts noRestrictedImports",
    "shared/links/up.ts noRestrictedImports",
    "shared/one.ts noImportCycles",
    "shared/two.ts noImportCycles",
  ]);
});
