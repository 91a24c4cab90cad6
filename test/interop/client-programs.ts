import { buildGo } from "../support/go.ts";

/** The versions whose egress selector, kube-apiserver's own client, is built. */
export const apiserverVersions = ["v0.34.2", "v0.35.1", "v0.36.0"] as const;
export type Apiserver = `apiserver-${(typeof apiserverVersions)[number]}`;

/**
 * A program in kube-apiserver's place. All know the same commands, and each dials by a library of its own:
 * `konnectivity-client-v0.36.0` by the reference's, a tunnel for each connection, or by a plain CONNECT client;
 * `konnectivity-client-v0.37.0` by one reusable tunnel; the others by the egress selector of that version.
 */
export type ClientProgram = "konnectivity-client-v0.36.0" | "konnectivity-client-v0.37.0" | Apiserver;

export const usualClient: ClientProgram = "konnectivity-client-v0.36.0";

/** Resolves to the path of the program, which is built if need be. Rejects with GoMissing without Go. */
export function buildClient(program: ClientProgram): Promise<string> {
  return buildGo({ ...moduleOf(program), package: ".", out: program });
}

function moduleOf(program: ClientProgram): { readonly moduleDir: string; readonly modfile?: string } {
  return isApiserver(program)
    ? { moduleDir: "test/interop/apiserver-client", modfile: `${program.slice("apiserver-".length)}.mod` }
    : { moduleDir: `test/interop/${program}` };
}

export const isApiserver = (program: ClientProgram): program is Apiserver => program.startsWith("apiserver-");
