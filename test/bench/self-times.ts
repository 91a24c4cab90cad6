/** What of V8's .cpuprofile is read here. */
export interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  }[];
  /** The node that ran, at each sample; what ran until then took the delta of the same index, in microseconds. */
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

export interface SelfTime {
  readonly name: string;
  readonly place: string;
  /** Of the time in which the process was not idle. */
  readonly share: number;
}

/** Time spent in each function itself, most first; a function that is called from many places is one. */
export function selfTimes({ nodes, samples, timeDeltas }: CpuProfile): SelfTime[] {
  const frames = new Map(nodes.map(({ id, callFrame }) => [id, callFrame]));
  const micros = new Map<string, number>();
  for (const [index, id] of samples.entries()) {
    const frame = frames.get(id);
    if (frame === undefined || frame.functionName === "(idle)") continue;
    const { functionName, url, lineNumber } = frame;
    const key = `${functionName || "(anonymous)"}\n${url === "" ? "" : `${shortened(url)}:${lineNumber + 1}`}`;
    micros.set(key, (micros.get(key) ?? 0) + (timeDeltas[index] ?? 0));
  }
  const total = [...micros.values()].reduce((sum, each) => sum + each, 0);
  return [...micros]
    .map(([key, own]) => {
      const [name = "", place = ""] = key.split("\n");
      return { name, place, share: own / total };
    })
    .sort((a, b) => b.share - a.share);
}

/** From dist/ or node_modules/ on. */
const shortened = (url: string) => url.replace(/^.*\/(?=(dist|node_modules)\/)/, "");
