import { describe, expect, it } from "vitest";
import { ClientGate } from "../../../shared/client-gate.ts";
import { turn } from "../../support/turn.ts";

function gated(max: number) {
  const evicted: string[] = [];
  const gate = new ClientGate<string>({ max, onEvicted: (client) => evicted.push(client) });
  return { gate, evicted, clients: () => [...gate.clients] };
}

const never = new Promise<void>(() => {});

describe("R-3.5: clients past the limit", () => {
  it("take the place of the oldest that has neither dial nor connection", () => {
    const { gate, evicted, clients } = gated(3);
    for (const client of ["a", "b", "c"]) gate.enter(client);
    gate.use("a", never);
    expect(evicted).toEqual([]);
    gate.enter("d");
    gate.enter("e");
    expect(evicted).toEqual(["b", "c"]);
    expect(clients()).toEqual(["a", "d", "e"]);
  });

  it("are let in to be refused where all have one, a few at once", () => {
    const { gate, evicted, clients } = gated(32);
    for (let client = 0; client < 32; client++) {
      gate.enter(`${client}`);
      gate.use(`${client}`, never);
    }
    for (const client of ["a", "b", "c"]) gate.enter(client);
    expect(evicted).toEqual(["a"]);
    expect(clients().length).toBe(34);
  });

  it("find room that others have left", () => {
    const { gate, evicted } = gated(2);
    for (const client of ["a", "b"]) gate.enter(client);
    gate.leave("a");
    gate.leave("a");
    gate.enter("c");
    expect(evicted).toEqual([]);
  });
});

it("a client is idle again once all that it asked for is over, and the last to go then", async () => {
  const { gate, evicted } = gated(2);
  gate.enter("a");
  gate.enter("b");
  let end = () => {};
  gate.use("a", Promise.resolve());
  const done = new Promise<void>((resolve) => {
    end = resolve;
  });
  gate.use("a", done);
  await turn();
  gate.enter("c");
  expect(evicted).toEqual(["b"]);
  end();
  await turn();
  gate.enter("d");
  gate.enter("e");
  expect(evicted).toEqual(["b", "c", "a"]);
});

it("what ends after its client has left changes nothing", async () => {
  const { gate, evicted, clients } = gated(1);
  gate.enter("a");
  gate.use("a", Promise.resolve());
  gate.leave("a");
  await turn();
  gate.enter("b");
  expect([evicted, clients()]).toEqual([[], ["b"]]);
});
