import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { sharedAuthorityWarning } from "../../../../server/listeners/shared-authority.ts";
import { issueCa } from "../../../../shared/tls/issue.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "hawser-authorities-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

function bundle(name: string, ...certificates: readonly string[]): string {
  const file = join(folder, name);
  writeFileSync(file, certificates.join("a line between\n"));
  return file;
}

const authority = (commonName: string) => issueCa({ commonName, validityDays: 1 }).cert;

it("is given for one authority in both bundles, whatever the files and wherever it stands", () => {
  const shared = authority("one for all");
  const frontendCa = bundle("frontend", authority("frontends"), shared);
  const agentCa = bundle("agents", shared, authority("agents"));
  expect(sharedAuthorityWarning({ frontendCa, agentCa })).toMatch(
    /^--server-ca-cert and --cluster-ca-cert both have the authority CN=one for all: .*--frontend-client-names/,
  );
  expect(sharedAuthorityWarning({ frontendCa, agentCa: frontendCa })).toContain("CN=frontends");
});

it("is not given for two authorities, also of one name", () => {
  const files = { frontendCa: bundle("frontend", authority("ca")), agentCa: bundle("agents", authority("ca")) };
  expect(sharedAuthorityWarning(files)).toBeUndefined();
});
