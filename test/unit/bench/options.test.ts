import { describe, expect, test } from "vitest";
import { parseOptions } from "../../bench/options.ts";
import { expectedSeconds, planOf } from "../../bench/plan.ts";

describe("the command line", () => {
  test("publishes a whole run and nothing less", () => {
    expect(parseOptions([])).toMatchObject({ mode: "whole", rounds: 5 });
    for (const part of [["--quick"], ["--only=down"], ["--rounds=5"], ["--profile", "--only=down"]]) {
      expect(parseOptions(part).mode).toBe("part");
    }
    expect(parseOptions(["--again"])).toMatchObject({ mode: "again", rounds: 5 });
    expect(parseOptions(["--profile"])).toMatchObject({ mode: "profiles", rounds: 1 });
  });

  test("has the gate measure what --quick does", () => {
    expect(parseOptions(["--gate"])).toMatchObject({ mode: "gate", quick: true, rounds: 3 });
  });

  test.each([
    [["--rounds=0"], "--rounds=0"],
    [["--rounds=many"], "--rounds=many"],
    [["--only=("], "--only=("],
    [["--page", "--quick"], "--page"],
    [["--gate", "--profile"], "--gate"],
    [["--gate", "--rounds=20"], "--gate"],
    [["--again", "--only=down"], "--again"],
    [["--quick", "--profile"], "--quick"],
    [["--fast"], "--fast"],
  ])("refuses %s by its name", (argv, name) => {
    expect(() => parseOptions(argv)).toThrow(name);
  });
});

describe("the plan", () => {
  test("of a whole run fits 40 minutes, of a quick one two", () => {
    expect(expectedSeconds(planOf(parseOptions([]))) / 60).toBeLessThan(40);
    expect(expectedSeconds(planOf(parseOptions(["--quick"])))).toBeLessThan(130);
  });

  test("of a quick run has Hawser and the reference alone", () => {
    for (const { ways } of planOf(parseOptions(["--quick"])).scenarios) {
      const wanted = ["reference, gRPC", "Hawser, gRPC", "reference, CONNECT", "Hawser, CONNECT"];
      expect(ways.map(({ name }) => name)).toEqual(wanted);
    }
  });

  test("of a second run has whole pairs alone", () => {
    for (const { name, ways } of planOf(parseOptions(["--again"])).scenarios) {
      const halves = (of: string) => ways.filter((way) => way.name.startsWith(of)).length;
      expect([halves("Hawser, "), halves("reference, ")], name).toEqual([ways.length / 2, ways.length / 2]);
    }
  });

  test("of profiles has Hawser alone, in what a quick run measures", () => {
    const { scenarios } = planOf(parseOptions(["--profile"]));
    expect(scenarios.map(({ name }) => name)).toEqual(
      planOf(parseOptions(["--quick"])).scenarios.map(({ name }) => name),
    );
    for (const { ways } of scenarios) expect(ways.map(({ name }) => name)).toEqual(["Hawser, gRPC", "Hawser, CONNECT"]);
  });

  test("says which scenarios there are where none is left", () => {
    expect(() => planOf(parseOptions(["--only=sideways"]))).toThrow("bulk down on 1");
  });

  test("names each scenario once", () => {
    const names = planOf(parseOptions([])).scenarios.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
  });
});
