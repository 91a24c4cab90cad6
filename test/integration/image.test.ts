import { execFile } from "node:child_process";
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { version } from "../../shared/version.ts";
import { type Half, halves, imageLayout } from "../../tools/image/image-layout.ts";
import { type ReadImage, readDockerManifest, readImages, unpackImage } from "../support/oci-image.ts";
import { repositoryRoot } from "../support/repository-root.ts";

const run = promisify(execFile);
const folder = mkdtempSync(join(tmpdir(), "hawser-image-"));
const archive = join(folder, "images.tar");
// A hundred megabytes are packed, unpacked and compared several times.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

let images: readonly ReadImage[];
beforeAll(async () => {
  await makeImages(repositoryRoot, "--out", archive);
  images = await readImages(archive);
});
afterAll(() => rmSync(folder, { recursive: true }));

function makeImages(root: string, ...args: readonly string[]): Promise<{ readonly stdout: string }> {
  return run(process.execPath, [join(root, "dist/tools/image/main.js"), ...args]);
}

/** The same build elsewhere, with other times, and one file that only its owner may read. */
function copyOfTree(name: string): string {
  const copy = join(folder, name);
  mkdirSync(copy);
  for (const part of ["package.json", "package-lock.json", "LICENSE", "dist"]) {
    cpSync(join(repositoryRoot, part), join(copy, part), { recursive: true });
  }
  chmodSync(join(copy, "LICENSE"), 0o600);
  symlinkSync(join(repositoryRoot, "node_modules"), join(copy, "node_modules"));
  return copy;
}

function imageOf(half: Half): ReadImage {
  const image = images.find(({ name }) => name === `docker.io/hawser/proxy-${half}:${version}`);
  if (image === undefined) throw new Error(`no image of the ${half} among ${images.map(({ name }) => name)}`);
  return image;
}

describe.each(halves)("the image of the %s", (half) => {
  it("starts its program as nobody in particular", () => {
    const { config, files } = imageOf(half);
    expect(config).toMatchObject({
      os: "linux",
      config: { Entrypoint: [`/proxy-${half}`], User: "65532:65532", WorkingDir: "/" },
    });
    const program = files.get(`/proxy-${half}`);
    expect(program?.header.mode).toBe(0o755);
    const [, interpreter = "", main = ""] = /^#!(\S+)\nimport\("(\S+)"\);\n$/.exec(String(program?.content)) ?? [];
    expect(files.get(interpreter)?.header.mode).toBe(0o755);
    expect(files.has(main)).toBe(true);
    expect(String(files.get("/etc/passwd")?.content)).toMatch(/^nonroot:x:65532:65532:/m);
  });

  it("holds what runs, and nothing of tests, tools or the other half", () => {
    const lock = JSON.parse(readFileSync(join(repositoryRoot, "package-lock.json"), "utf8")) as {
      readonly packages: Readonly<Record<string, { readonly dev?: boolean }>>;
    };
    const paths = [...imageOf(half).files.keys()];
    const installed = (name: string) => paths.some((path) => path.startsWith(`/hawser/${name}/`));
    for (const [name, { dev }] of Object.entries(lock.packages).filter(([name]) => name !== "")) {
      expect(`${name} ${installed(name)}`).toBe(`${name} ${!dev}`);
    }
    const built = paths.filter((path) => /^\/hawser\/dist\/[^/]+$/.test(path));
    expect(built.sort()).toEqual([half, "proto", "shared"].map((name) => `/hawser/dist/${name}`).sort());
    expect(paths.filter((path) => path.startsWith("/hawser/dist/") && path.endsWith(".map"))).toEqual([]);
  });

  it("has nothing that its user can change but that user's home and /tmp", () => {
    const { uid, home } = imageLayout.user;
    const changeable = [...imageOf(half).files].filter(
      ([, { header }]) => header.uid === uid || header.gid === uid || ((header.mode ?? 0) & 0o022) !== 0,
    );
    expect(changeable.map(([path]) => path).sort()).toEqual([home, "/tmp"].sort());
  });

  it("runs, with no more than is in it", async () => {
    if (process.getuid?.() !== 0) {
      process.stderr.write("SKIPPED: images were not run, because chroot needs root\n");
      return;
    }
    const root = join(folder, `root-${half}`);
    unpackImage(imageOf(half), root);
    const inside = ["--userspec=65532:65532", root, `/proxy-${half}`];
    expect((await run("chroot", [...inside, "--version"])).stdout).toBe(`proxy-${half} ${version}\n`);
    expect((await run("chroot", [...inside, "--help"])).stdout).toContain(`Usage: proxy-${half} [flags]`);
    await expect(run("chroot", [...inside, "--no-such-flag"])).rejects.toMatchObject({ code: 1 });
  });
});

it("both images share all but what is their own", () => {
  const [server, agent] = halves.map((half) => imageOf(half).layerDigests);
  expect(agent?.slice(0, -1)).toEqual(server?.slice(0, -1));
  expect(agent?.at(-1)).not.toBe(server?.at(-1));
});

it("docker load finds them too", async () => {
  expect(await readDockerManifest(archive)).toEqual(images.map(({ name }) => name));
});

it("the same inputs make the same bytes, and the sizes are told", async () => {
  const again = join(folder, "again.tar");
  const { stdout } = await makeImages(copyOfTree("copy"), "--out", again);
  expect(readFileSync(again).equals(readFileSync(archive))).toBe(true);
  const sizes = [...stdout.matchAll(/([\d.]+) MiB unpacked/g)].map(([, size]) => Number(size));
  expect(sizes).toHaveLength(halves.length);
  for (const size of sizes) expect(size).toBeLessThan(190);
});

it("what is laid out for the Dockerfile is what is in the images", async () => {
  const layout = join(folder, "layout");
  await run(process.execPath, [join(repositoryRoot, "dist/tools/image/lay-out.js"), layout]);
  for (const half of halves) {
    const ours = [...imageOf(half).files].filter(([path]) => path === `/proxy-${half}` || path.startsWith("/hawser/"));
    const from = (part: string) =>
      readdirSync(join(layout, part), { encoding: "utf8", recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => join(entry.parentPath, entry.name).slice(join(layout, part).length));
    const files = ours.filter(([, { header }]) => header.type === "file");
    expect([...from("common"), ...from(half)].sort()).toEqual(files.map(([path]) => path).sort());
    for (const part of ["common", half]) {
      for (const path of from(part)) {
        const entry = imageOf(half).files.get(path);
        expect(statSync(join(layout, part, path)).mode & 0o777).toBe(entry?.header.mode);
        expect(entry?.content.equals(readFileSync(join(layout, part, path)))).toBe(true);
      }
    }
  }
  await expect(run(process.execPath, [join(repositoryRoot, "dist/tools/image/lay-out.js")])).rejects.toMatchObject({
    code: 1,
    stderr: "lay-out: needs one argument, the folder to write to\n",
  });
});

describe("bad input", () => {
  it("an option that there is not", async () => {
    await expect(makeImages(repositoryRoot, "--tag=1")).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^image: .*'--tag'.*--out FILE/),
    });
  });

  it("a tree that is not built, or not installed as locked", async () => {
    const copy = copyOfTree("unfinished");
    const lockFile = join(copy, "package-lock.json");
    const lock = readFileSync(lockFile, "utf8");
    writeFileSync(lockFile, lock.replace('"node_modules/pino": {', '"node_modules/absent": {'));
    await expect(makeImages(copy)).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^image: node_modules\/absent is missing .*npm ci/),
    });
    writeFileSync(lockFile, lock);
    rmSync(join(copy, "dist/.built"));
    await expect(makeImages(copy)).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^image: .*dist is not built: run npm run build/),
    });
  });
});
