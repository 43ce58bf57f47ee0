// Point at a place of a photograph: the channels that answer most strongly there.
interpLive.define("grid", (stage, data) => {
  const { el, tile, choose, result } = interpLive;
  const { rows, columns, cells, names, sheet } = data, at = [...data.start], text = result();
  const mark = el("span", { className: "mark" }), list = el("ol", { className: "channels" });
  mark.style.cssText = `width:${100 / columns}%;height:${100 / rows}%`;
  const photo = el("div", { className: "frame", role: "application",
    "aria-label": `${data.alt}, divided into ${rows} rows and ${columns} columns. Arrow keys choose a place.` },
    el("img", { src: data.photograph, alt: "" }), mark);
  const top = Math.max(...cells.flat(2).map((cell) => cell[1]));
  const items = cells[0][0].map(() => {
    const bar = el("i"), name = el(data.links ? "a" : "span", { className: "name" }), picture = tile(sheet, 0, "");
    list.append(el("li", {}, picture, el("span", {}, name, bar)));
    return { bar, name, picture };
  });
  const show = () => {
    const strongest = cells[at[0]][at[1]];
    mark.style.left = `${(100 * at[1]) / columns}%`; mark.style.top = `${(100 * at[0]) / rows}%`;
    strongest.forEach(([index, value], n) => {
      items[n].picture.show(index, `What ${names[index]} looks for`);
      if (data.links) items[n].name.href = data.links[index];
      items[n].name.textContent = `${names[index]}: ${value.toPrecision(2)}`;
      items[n].bar.style.width = `${Math.max(0, 100 * value / top)}%`;
    });
    text.textContent = `Row ${at[0] + 1}, column ${at[1] + 1}: ${strongest.map(([index]) => names[index]).join(", ")}`;
  };
  choose(photo, rows, columns, at, show);
  show();
  stage.replaceChildren(el("div", { className: "pair stack" }, photo, list), text);
});
