import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { issueTestCertificates, type TestCertificates } from "./certificates.ts";

/** Folders that an interrupted program still has. */
const open = new Set<Workspace>();
process.on("exit", () => {
  for (const workspace of open) workspace.remove();
});

/** What a test leaves on disk: a temporary folder with a set of certificates and room for sockets. */
export class Workspace {
  // Short, because the path of a Unix socket ends at 107 bytes.
  readonly folder = mkdtempSync(join(tmpdir(), "hw-"));
  readonly certificates: TestCertificates;

  /** `serverNames` are those of its servers besides the loopback's. */
  constructor(serverNames: readonly string[] = []) {
    open.add(this);
    this.certificates = issueTestCertificates(this.folder, serverNames);
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  remove(): void {
    open.delete(this);
    rmSync(this.folder, { recursive: true, force: true });
  }
}
