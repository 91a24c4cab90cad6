import { FreePorts } from "../free-ports.ts";
import { dial, protocolNames, protocols, type Stage } from "../stage.ts";
import { Mismatch } from "../story.ts";

/** Asks for a port at which nobody listens: the client gets the reason in words, at once. */
export async function refusal(stage: Stage): Promise<void> {
  stage.story.chapter("An endpoint that refuses");
  const target = `127.0.0.1:${await new FreePorts().next()}`;
  for (const protocol of protocols) {
    const step = { label: `by ${protocolNames[protocol]}`, expected: "a refusal that says: connection refused" };
    await stage.story.tell(step, async (signal) => {
      const answer = await dial(stage, protocol, target, { signal }).then(
        (duplex) => {
          duplex.destroy();
          return new Mismatch(`a connection to ${target}`);
        },
        (error: Error) => error,
      );
      if (!answer.message.includes("connection refused")) throw answer;
      return { result: "refused at once, with the reason", detail: withoutDialId(answer.message) };
    });
  }
}

/** The number that names the dial in the logs of both halves is of no use to who watches a demo. */
const withoutDialId = (text: string): string => text.replace(/ \(dial \d+\)$/, "");
