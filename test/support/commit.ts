import { execFileSync } from "node:child_process";
import { repositoryRoot } from "./repository-root.ts";

/** What a page of results is of: the commit, and whether the tree is another than the commit's; the page itself does not count. */
export function commitBut(page: string): string {
  const git = (...args: string[]) => execFileSync("git", args, { cwd: repositoryRoot, encoding: "utf8" }).trim();
  const changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", `:!${page}`) !== "";
  return `${git("rev-parse", "--short", "HEAD")}${changed ? " with local changes" : ""}`;
}
