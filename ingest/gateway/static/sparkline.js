/** A line of small bars: how much there was in each of the last seconds. */

import { drawn } from "./elements.js";
import { bar } from "./shapes.js";

const SIZE = { width: 300, height: 44 };

export function sparkline(values) {
  const most = Math.max(1, ...values);
  const slot = SIZE.width / values.length;
  const bars = values.map((value, place) =>
    bar(place * slot + 0.5, SIZE.height - 1 - (value / most) * (SIZE.height - 4), slot - 1, SIZE.height - 1));
  return drawn("svg", {
    viewBox: `0 0 ${SIZE.width} ${SIZE.height}`, preserveAspectRatio: "none", role: "img",
    "aria-label": `Records in each of the last ${values.length} seconds, at most ${most === 1 ? Math.max(...values) : most}`,
  }, drawn("path", { class: "line zero", d: `M0 ${SIZE.height - 0.5}H${SIZE.width}` }), drawn("path", { class: "device c0", d: bars.join("") }));
}
