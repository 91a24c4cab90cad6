import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { frontendStreamMoves } from "../../server/frontends/grpc-stream.ts";
import { errorTraits } from "../../shared/errors.ts";
import { GrpcCode } from "../../shared/grpc/status.ts";
import { linkMoves, requireMove } from "../../shared/lifecycle.ts";
import { repositoryRoot } from "../support/repository-root.ts";

const read = (name: string) => readFileSync(join(repositoryRoot, name), "utf8");

it("docs/errors.md has every code with its statuses", () => {
  const rows = [...read("docs/errors.md").matchAll(/^\| `(\w+)` \| (\d+) \| (\w+) \|/gm)].map(([, ...cells]) => cells);
  const nameOf = (code: number) => Object.entries(GrpcCode).find(([, value]) => value === code)?.[0];
  expect(rows).toEqual(Object.entries(errorTraits).map(([code, { http, grpc }]) => [code, String(http), nameOf(grpc)]));
});

it("ARCHITECTURE.md has the states that the code has", () => {
  const page = read("ARCHITECTURE.md");
  const statesAfter = (start: string) => {
    const line = page.split("\n").find((candidate) => candidate.startsWith(start)) ?? "";
    return [...(line.split(".")[0] ?? "").matchAll(/`(\w+)`/g)].map(([, name]) => name);
  };
  expect(statesAfter("- A gRPC frontend stream:")).toEqual(Object.keys(frontendStreamMoves));
  expect(statesAfter("- A link, at both ends:")).toEqual(Object.keys(linkMoves));
});

it("a move that the table lacks is thrown as the defect that it is", () => {
  expect(() => requireMove(linkMoves, "closed", "draining")).toThrow("illegal move from closed to draining");
  expect(() => requireMove(linkMoves, "ready", "closed")).not.toThrow();
});
