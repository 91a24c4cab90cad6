import { referenceCells } from "./cells.ts";
import { describeCell } from "./suite.ts";

for (const cell of referenceCells) describeCell(cell);
