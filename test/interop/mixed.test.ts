import { mixedCells } from "./cells.ts";
import { describeCell } from "./suite.ts";

for (const cell of mixedCells) describeCell(cell);
