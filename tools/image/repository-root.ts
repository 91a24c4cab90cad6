import { fileURLToPath } from "node:url";

/** Above dist/tools/image, where these tools run. */
export const repositoryRoot: string = fileURLToPath(new URL("../../..", import.meta.url));
