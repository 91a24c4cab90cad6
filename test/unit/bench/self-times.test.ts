import { expect, test } from "vitest";
import { selfTimes } from "../../bench/self-times.ts";

const node = (id: number, functionName: string, url = "", lineNumber = -1) => ({
  id,
  callFrame: { functionName, url, lineNumber },
});

test("self times add up by function, without the time in which the process was idle", () => {
  const nodes = [
    node(1, "(idle)"),
    node(2, "write", "file:///home/me/dist/shared/lane.js", 9),
    // The same function, called from elsewhere.
    node(3, "write", "file:///home/me/dist/shared/lane.js", 9),
    node(4, "(garbage collector)"),
    node(5, "", "node:net", 0),
  ];
  const times = selfTimes({ nodes, samples: [1, 2, 3, 4, 5, 1], timeDeltas: [500, 30, 30, 30, 10, 500] });
  expect(times).toEqual([
    { name: "write", place: "dist/shared/lane.js:10", share: 0.6 },
    { name: "(garbage collector)", place: "", share: 0.3 },
    { name: "(anonymous)", place: "node:net:1", share: 0.1 },
  ]);
});
