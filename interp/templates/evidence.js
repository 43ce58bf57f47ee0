// What each place of a photograph adds to a class that one chooses, and the channels that this is made of.
interpLive.define("evidence", (stage, data) => {
  const { el, choose, fixed, result } = interpLive;
  const { rows, columns, classes } = data, at = [...data.start], text = result();
  const said = (n) => (n > 0 ? "+" : "") + fixed(n / 100);
  const most = Math.max(1, ...classes.flatMap((one) => one.cells.map((cell) => Math.abs(cell[0]))));
  const squares = classes[0].cells.map(() => el("i")), heat = el("span", { className: "heat" }, ...squares);
  heat.style.gridTemplate = `repeat(${rows},1fr)/repeat(${columns},1fr)`;
  const mark = el("span", { className: "mark" }), parts = el("table", { className: "ledger" });
  mark.style.cssText = `width:${100 / columns}%;height:${100 / rows}%`;
  const photo = el("div", { className: "frame", role: "application",
    "aria-label": `${data.alt}, divided into ${rows} rows and ${columns} columns. Arrow keys choose a place.` },
    el("img", { src: data.photograph, alt: "" }), heat, mark);
  const pick = el("select", { "aria-label": "Class" }, ...classes.map((one) => el("option", { textContent: one.name })));
  const line = ([name, value]) => el("tr", {}, el("th", { scope: "row", textContent: name }), el("td", { textContent: said(value) }));
  const show = () => {
    const { name, bias, score, cells } = classes[pick.selectedIndex];
    const [total, pro, contra, ...named] = cells[at[0] * columns + at[1]], lines = [];
    while (named.length) { const [channel, part] = named.splice(0, 2); lines.push([`channel ${channel}`, part]); }
    mark.style.left = `${(100 * at[1]) / columns}%`; mark.style.top = `${(100 * at[0]) / rows}%`;
    squares.forEach((square, n) => {
      const share = cells[n][0] / most;
      square.style.background = `rgb(${share < 0 ? "30 100 255" : "255 60 0"}/${.8 * Math.sqrt(Math.abs(share))})`;
    });
    parts.replaceChildren(el("caption", { textContent: `For and against ${name} at this place` }),
      ...[...lines.filter((one) => one[1] > 0), ["all others for it", pro],
        ...lines.filter((one) => one[1] < 0), ["all others against it", contra], ["sum", total]].map(line));
    text.textContent = `Row ${at[0] + 1}, column ${at[1] + 1}, ${name}: ${said(total)}. ` +
      `Mean of all places ${said(score - bias)}, bias ${said(bias)}, score ${said(score)}.`;
  };
  pick.addEventListener("change", show);
  choose(photo, rows, columns, at, show);
  show();
  stage.replaceChildren(el("div", { className: "controls" }, pick), el("div", { className: "pair stack" }, photo, parts),
    el("span", { className: "legend", textContent: "Red speaks for the class, blue against it; one scale for all classes." }), text);
});
