// The images of a data set in the order of one channel's activation, above its histogram.
interpLive.define("spectrum", (stage, data) => {
  const { el, svg, range, tile, fixed, result } = interpLive;
  const { values, edges, counts, sheet, label } = data, low = edges[0], span = edges[edges.length - 1] - low || 1;
  const total = counts.reduce((sum, count) => sum + count, 0), most = Math.max(...counts, 1), steps = 200;
  const x = (value) => (600 * (value - low)) / span;
  const bars = counts.map((count, n) => svg("rect", { x: x(edges[n]) + .5, width: Math.max(.5, x(edges[n + 1]) - x(edges[n]) - 1),
    y: 100 - 96 * Math.sqrt(count / most), height: 96 * Math.sqrt(count / most), class: "count" }));
  const needle = svg("line", { y1: 0, y2: 100, class: "needle" });
  const chart = svg("svg", { viewBox: "0 0 600 100", class: "histogram", preserveAspectRatio: "none", "aria-hidden": "true" }, ...bars, needle);
  const shown = Math.min(5, values.length), text = result(), row = el("div", { className: "row" });
  const tiles = Array.from({ length: shown }, (_, n) => { const one = tile(sheet, n, ""); row.append(one); return one; });
  const value = (n) => low + (span * n) / steps;
  const below = (v) => {
    let sum = 0;
    counts.forEach((count, n) => { sum += count * Math.max(0, Math.min(1, (v - edges[n]) / (edges[n + 1] - edges[n] || 1))); });
    return (100 * sum) / total;
  };
  const rank = (n) => n === steps ? `higher than all ${total} images` : n === 0 ? `lower than all ${total} images` : `above ${below(value(n)).toFixed(1)} % of the images`;
  const say = (n) => `${label} ${fixed(value(n))}: ${rank(n)}`;
  const show = (n) => {
    const v = value(n);
    needle.setAttribute("x1", x(v)); needle.setAttribute("x2", x(v));
    let near = 0;
    values.forEach((one, index) => { if (Math.abs(one - v) < Math.abs(values[near] - v)) near = index; });
    const first = Math.max(0, Math.min(values.length - shown, near - Math.floor(shown / 2)));
    tiles.forEach((one, k) => {
      one.show(first + k, `${data.names[first + k]}, ${label} ${fixed(values[first + k])}`);
      one.classList.toggle("near", first + k === near);
    });
    text.textContent = say(n);
  };
  const slider = range(`${label}, from the lowest to the highest`, steps, steps, say, show);
  show(steps);
  const scale = el("span", { className: "scale", "aria-hidden": "true" });
  for (const v of [low, ...(low < -.08 * span && low + span > .08 * span ? [0] : []), low + span]) {
    const name = el("span", { textContent: fixed(v) });
    name.style.left = `${x(v) / 6}%`;
    scale.append(name);
  }
  stage.replaceChildren(row, chart, scale, el("div", { className: "controls" }, slider), text);
});
