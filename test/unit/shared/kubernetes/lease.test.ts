import { describe, expect, it } from "vitest";
import {
  isLeaseValid,
  type Lease,
  leasePath,
  leasesPath,
  microTime,
  parseLabels,
  selectorOf,
} from "../../../../shared/kubernetes/lease.ts";
import { ValueError } from "../../../../shared/options/value-error.ts";

const now = Date.parse("2026-01-02T03:04:05Z");
const ago = (seconds: number) => microTime(now - seconds * 1000);
const lease = (spec?: Lease["spec"]): Lease => ({ metadata: { name: "a" }, ...(spec && { spec }) });

describe("a lease", () => {
  it.each([
    ["renewed just now", { leaseDurationSeconds: 30, renewTime: ago(0) }, true],
    ["renewed shortly before its end", { leaseDurationSeconds: 30, renewTime: ago(29.999) }, true],
    ["that has just run out", { leaseDurationSeconds: 30, renewTime: ago(30) }, false],
    ["acquired just now", { leaseDurationSeconds: 30, acquireTime: ago(1) }, true],
    [
      "acquired just now, with a null for its renewal",
      { leaseDurationSeconds: 30, acquireTime: ago(1), renewTime: null },
      true,
    ],
    ["acquired too long ago", { leaseDurationSeconds: 30, acquireTime: ago(31) }, false],
    [
      "renewed too long ago, whenever it was acquired",
      { leaseDurationSeconds: 30, acquireTime: ago(1), renewTime: ago(31) },
      false,
    ],
    ["without a time", { leaseDurationSeconds: 30 }, false],
    ["without a duration", { renewTime: ago(1) }, false],
    ["with a duration that is none", { leaseDurationSeconds: "x" as unknown as number, renewTime: ago(1) }, false],
    ["with a time that is none", { leaseDurationSeconds: 30, renewTime: "yesterday" }, false],
    ["with a time that only looks like one", { leaseDurationSeconds: 30, renewTime: "9999" }, false],
    ["with a time that is no text", { leaseDurationSeconds: 30, renewTime: (now + 1_000) as unknown as string }, false],
    [
      "with a broken time, whenever it was acquired",
      { leaseDurationSeconds: 30, renewTime: "-", acquireTime: ago(1) },
      false,
    ],
    ["with an offset in its time", { leaseDurationSeconds: 30, renewTime: "2026-01-02T05:04:04.5+02:00" }, true],
  ] as const)("%s", (_what, spec, valid) => {
    expect(isLeaseValid(lease(spec), now)).toBe(valid);
  });

  it("without a spec has expired", () => {
    expect(isLeaseValid(lease(), now)).toBe(false);
  });
});

it("times are written with microseconds", () => {
  expect(microTime(now + 7)).toBe("2026-01-02T03:04:05.007000Z");
});

describe("labels", () => {
  it.each([
    ["a=b", { a: "b" }],
    ["a=b,c=d", { a: "b", c: "d" }],
    [" a = b , c=d ", { a: "b", c: "d" }],
    ["a=", { a: "" }],
  ])("%j", (text, labels) => {
    expect(parseLabels(text)).toEqual(labels);
  });

  it.each([
    ["", "empty string provided"],
    ["a", "invalid label format: a"],
    ["a=b,c", "invalid label format: c"],
    ["a=b=c", "invalid label format: a=b=c"],
  ])("%j are none", (text, message) => {
    expect(() => parseLabels(text)).toThrow(new ValueError(message));
  });

  it("make a selector of what bears them all", () => {
    expect(selectorOf({ a: "b", "c.d/e": "" })).toBe("a=b,c.d/e=");
  });
});

it("paths name one namespace or all, and nothing in a name can leave them", () => {
  expect(leasesPath("ns")).toBe("/apis/coordination.k8s.io/v1/namespaces/ns/leases");
  expect(leasesPath("")).toBe("/apis/coordination.k8s.io/v1/leases");
  expect(leasePath("a/b", "../c?d")).toBe("/apis/coordination.k8s.io/v1/namespaces/a%2Fb/leases/..%2Fc%3Fd");
});
