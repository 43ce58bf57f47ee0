// A dial with named stops: the picture at each, what was measured there as a curve, and a choice between rows of pictures.
interpLive.define("dial", (stage, data) => {
  const { el, svg, range, tile, fixed, result } = interpLive;
  const { names, at, charts, knob } = data, last = at[0].length - 1, group = `dial-${Math.random()}`;
  let row = 0, stop = data.start;
  const picture = tile(data.sheet, 0, ""), text = result();
  const drawings = charts.map(({ label, rows }) => {
    const all = rows.flat(), low = Math.min(0, ...all), high = Math.max(0, ...all);
    const x = (n) => 8 + (284 * n) / last, y = (v) => 82 - (74 * (v - low)) / (high - low || 1);
    const lines = rows.map((values) => svg("polyline", { points: values.map((v, n) => `${x(n)},${y(v)}`).join(" "), class: "line" }));
    const dot = svg("circle", { r: 5, class: "dot" });
    const node = el("div", {}, el("span", { className: "legend", textContent: `${label}, from ${fixed(low)} to ${fixed(high)}` }),
      svg("svg", { viewBox: "0 0 300 90", class: "curve", "aria-hidden": "true" },
        svg("line", { x1: 8, x2: 292, y1: y(0), y2: y(0), class: "zero" }), ...lines, dot));
    const show = () => {
      lines.forEach((line, n) => line.classList.toggle("on", n === row));
      dot.setAttribute("cx", x(stop)); dot.setAttribute("cy", y(rows[row][stop]));
    };
    return { node, show };
  });
  const say = (n) => (names.length > 1 ? `${names[row]}, ` : "") + `${knob} ${at[row][n]}` +
    charts.map(({ label, rows }, k) => `${k ? ", " : ": "}${label} ${fixed(rows[row][n])}`).join("");
  const stops = el("span", { className: "stops", "aria-hidden": "true" }, ...at[0].map(() => el("span")));
  if (last > 5) stops.classList.add("many");
  const show = (n) => {
    stop = n;
    picture.show(row * (last + 1) + n, `${data.alt}: ${say(n)}`);
    [...stops.children].forEach((one, k) => { one.textContent = at[row][k]; one.classList.toggle("on", k === n); });
    drawings.forEach((one) => one.show());
    text.textContent = say(n);
  };
  const slider = range(knob, last, stop, say, show);
  const choice = names.map((name, n) => {
    const input = el("input", { type: "radio", name: group, checked: !n });
    input.addEventListener("change", () => { row = n; show(stop); slider.setAttribute("aria-valuetext", say(stop)); });
    return el("label", {}, input, name);
  });
  const side = el("div", {}, el("div", { className: "controls" }, slider), stops, text, ...drawings.map((one) => one.node));
  if (names.length > 1) {
    side.prepend(el("div", { className: "choice", role: "radiogroup", "aria-label": data.choice }, ...choice));
    if (charts.length) side.append(el("span", { className: "legend", textContent: `Strong: what is chosen; faint: the other${names.length > 2 ? "s" : ""}.` }));
  }
  stage.replaceChildren(el("div", { className: "pair stack dial" }, picture, side));
  show(stop);
});
