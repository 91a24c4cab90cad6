import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { version } from "../../../shared/version.ts";
import { imageOf, platformOf } from "../../../tools/image/image.ts";
import { type Half, halves, imageLayout, imageName } from "../../../tools/image/image-layout.ts";
import { repositoryRoot } from "../../support/repository-root.ts";

const text = readFileSync(join(repositoryRoot, "deploy/docker/Dockerfile"), "utf8");

interface Stage {
  readonly name: string;
  readonly base: string;
  /** In order, as `INSTRUCTION rest`. */
  readonly instructions: readonly string[];
}

/** No more of the language than that file uses: one instruction a line. */
const stages: readonly Stage[] = text
  .split(/^(?=FROM )/m)
  .slice(1)
  .map((part) => {
    const [from = "", ...lines] = part.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
    const [, base = "", name = ""] = /^FROM (?:--platform=\S+ )?(\S+) AS (\S+)$/.exec(from) ?? [];
    return { name, base, instructions: lines };
  });

function stage(name: string): Stage {
  const found = stages.find((one) => one.name === name);
  if (found === undefined) throw new Error(`the Dockerfile has no stage ${name}`);
  return found;
}

/** What an instruction says in a stage or in those that it stands on; of several the last. */
function lastOf(name: string, instruction: string): string | undefined {
  const { base, instructions } = stage(name);
  const own = instructions.filter((line) => line.startsWith(`${instruction} `)).at(-1);
  if (own !== undefined) return own.slice(instruction.length + 1);
  return stages.some((one) => one.name === base) ? lastOf(base, instruction) : undefined;
}

function configOf(half: Half): {
  readonly User: string;
  readonly WorkingDir: string;
  readonly Entrypoint: readonly string[];
  readonly Labels: Readonly<Record<string, string>>;
} {
  return JSON.parse(imageOf(half, version, platformOf("x64"), []).config.bytes.toString()).config;
}

describe.each(halves)("the Dockerfile's %s is npm run image's", (half) => {
  const target = `proxy-${half}`;

  it("in user, folder, entry point and labels", () => {
    const config = configOf(half);
    expect(lastOf(target, "USER")).toBe(config.User);
    expect(lastOf(target, "WORKDIR")).toBe(config.WorkingDir);
    expect(JSON.parse(lastOf(target, "ENTRYPOINT") ?? "null")).toEqual(config.Entrypoint);
    const labels = [...(lastOf(target, "LABEL") ?? "").matchAll(/(\S+)="([^"]*)"/g)];
    expect(Object.fromEntries(labels.map(([, name, value]) => [name, value]))).toEqual(config.Labels);
  });

  it("in its files, which the same code lays out", () => {
    expect(stage("build").instructions).toContain(
      "RUN npm ci && npm run build && node dist/tools/image/lay-out.js /layout",
    );
    expect(stage("common").instructions).toContain("COPY --from=build /layout/common/ /");
    expect(stage(target)).toMatchObject({ base: "common" });
    expect(stage(target).instructions).toContain(`COPY --from=build /layout/${half}/ /`);
  });

  it("in its name", () => {
    expect(text).toContain(`--target ${target} -t ${imageName(half, version)} .`);
  });
});

it("stands on the image with Node at the path where programs look for it", () => {
  expect(stage("common").base).toBe("gcr.io/distroless/nodejs24-debian13:nonroot");
  expect(imageLayout.node).toBe("/nodejs/bin/node");
});
