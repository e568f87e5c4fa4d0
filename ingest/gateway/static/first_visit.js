/** How to push a first snapshot to this service: one line for a terminal. */

import { dateOf, today } from "./dates.js";
import { byId } from "./elements.js";

export function showFirstVisit({ hasKey }) {
  const line = commandOf({ hasKey, date: dateOf(today()) });
  byId("first-line").textContent = line;
  byId("first-key").hidden = !hasKey;
  byId("first-copied").textContent = "";
  byId("first-copy").onclick = async () => {
    try {
      await navigator.clipboard.writeText(line);
      byId("first-copied").textContent = "Copied.";
    } catch {
      getSelection().selectAllChildren(byId("first-line"));
      byId("first-copied").textContent = "Not allowed. The command is selected: copy it by hand.";
    }
  };
}

function commandOf({ hasKey, date }) {
  const snapshot = { date, timestamp: `${date}T00:00:00Z`, steps_total: 1290, calories_out_total: 310.5 };
  const message = { user_id: "ann", device_id: "watch", source: "FITBIT", snapshots: [snapshot] };
  return [
    `curl ${new URL("v1/health-snapshots", document.baseURI)}`,
    "-H 'Content-Type: application/json'",
    ...(hasKey ? ['-H "Authorization: Bearer $INGEST_KEY"'] : []),
    `-d '${JSON.stringify(message).replaceAll(/"(?:snapshots|timestamp|steps_total)"/g, "\n      $&")}'`,
  ].join(" \\\n  ");
}
