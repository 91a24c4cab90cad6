import { describe, expect, it } from "vitest";
import { type LabelRequirement, parseLabelSelector } from "../../../../shared/options/label-selector.ts";
import { ValueError } from "../../../../shared/options/value-error.ts";

const accepted: readonly (readonly [string, readonly LabelRequirement[]])[] = [
  ["", []],
  ["  ", []],
  ["a=b", [{ key: "a", operator: "in", values: ["b"] }]],
  ["a == b", [{ key: "a", operator: "in", values: ["b"] }]],
  ["a=", [{ key: "a", operator: "in", values: [""] }]],
  ["a!=b", [{ key: "a", operator: "not-in", values: ["b"] }]],
  ["a in (b, c)", [{ key: "a", operator: "in", values: ["b", "c"] }]],
  ["a notin (b,)", [{ key: "a", operator: "not-in", values: ["b", ""] }]],
  ["a", [{ key: "a", operator: "exists", values: [] }]],
  ["!a", [{ key: "a", operator: "not-exists", values: [] }]],
  ["a>1", [{ key: "a", operator: "greater", values: ["1"] }]],
  ["a < -2", [{ key: "a", operator: "less", values: ["-2"] }]],
  [
    "k8s-app=konnectivity-server, example.com/role in (x),!old",
    [
      { key: "k8s-app", operator: "in", values: ["konnectivity-server"] },
      { key: "example.com/role", operator: "in", values: ["x"] },
      { key: "old", operator: "not-exists", values: [] },
    ],
  ],
];

describe("label selectors", () => {
  it.each(accepted)("reads %j", (text, requirements) => {
    expect(parseLabelSelector(text)).toEqual(requirements);
  });

  it.each([
    ["*notavalidlabel*", 'label key "*notavalidlabel*"'],
    ["=b", 'found "="'],
    ["a=b,", "found the end"],
    ["a=b c", 'found "c"'],
    ["a in b", 'expected "("'],
    ["a in (b", 'expected ")"'],
    ["a>x", '"x" is not an integer'],
    ["a=*", 'label value "*"'],
    ["-a", 'label key "-a"'],
    ["A.example/x", 'label key "A.example/x": the part before the slash'],
    ["/x", 'label key "/x"'],
    ["a/b/c", 'label key "a/b/c"'],
    [`a=${"b".repeat(64)}`, "label value"],
    [`${"b".repeat(64)}=a`, "label key"],
  ])("refuses %j", (text, message) => {
    expect(() => parseLabelSelector(text)).toThrow(ValueError);
    expect(() => parseLabelSelector(text)).toThrow(message);
  });
});
