// Shared by all live figures: a figure starts when it comes near the screen, and stays a picture if it cannot.
(() => {
  if (window.interpLive) return;
  const kinds = {};
  const el = (tag, props = {}, ...children) => {
    const node = Object.assign(document.createElement(tag), props);
    for (const [name, value] of Object.entries(props)) if (/^(aria-|role$)/.test(name)) node.setAttribute(name, value);
    node.append(...children);
    return node;
  };
  const svg = (tag, attributes, ...children) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...children);
    return node;
  };
  const range = (label, top, value, say, change) => {
    const input = el("input", { type: "range", min: 0, max: top, step: 1, value, "aria-label": label });
    input.addEventListener("input", () => { change(+input.value); input.setAttribute("aria-valuetext", say(+input.value)); });
    input.setAttribute("aria-valuetext", say(value));
    // A thumb that only scrolls past changes nothing: the browser takes the touch away, and the value goes back.
    let before = value;
    input.addEventListener("pointerdown", () => { before = input.value; });
    input.addEventListener("pointercancel", () => { input.value = before; change(+before); });
    return input;
  };
  // One picture out of a sheet of equal ones.
  const tile = (sheet, index, alt) => {
    const node = el("span", { className: "tile", role: "img" });
    node.style.cssText = `background-image:url("${sheet.picture}");background-size:${sheet.columns * 100}% ${sheet.rows * 100}%;` +
      `aspect-ratio:${sheet.width}/${sheet.height}`;
    node.show = (number, words) => {
      const part = (at, count) => (count > 1 ? (100 * at) / (count - 1) : 0);
      node.style.backgroundPosition = `${part(number % sheet.columns, sheet.columns)}% ${part(Math.floor(number / sheet.columns), sheet.rows)}%`;
      node.setAttribute("aria-label", words);
    };
    node.show(index, alt);
    return node;
  };
  // A cell of a grid chosen by pointer, by touch and by arrow keys.
  const choose = (node, rows, columns, at, change) => {
    const set = (row, column) => {
      row = Math.max(0, Math.min(rows - 1, row)); column = Math.max(0, Math.min(columns - 1, column));
      if (row === at[0] && column === at[1]) return;
      at[0] = row; at[1] = column; change();
    };
    const point = (event) => {
      const box = node.getBoundingClientRect();
      set(Math.floor(((event.clientY - box.top) / box.height) * rows), Math.floor(((event.clientX - box.left) / box.width) * columns));
    };
    node.tabIndex = 0;
    node.addEventListener("pointerdown", point);
    node.addEventListener("pointermove", point);
    node.addEventListener("keydown", (event) => {
      const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
      if (step) { event.preventDefault(); set(at[0] + step[0], at[1] + step[1]); }
    });
  };
  const fixed = (value) => value.toFixed(2).replace(/^-(?=0\.00$)/, "").replace("-", "\u2212");
  const result = () => el("output", { className: "result", "aria-live": "polite" });
  const begin = (root) => {
    const start = kinds[root.dataset.kind];
    if (!start || root.dataset.on) return;
    root.dataset.on = "yes";
    start(root.querySelector(".stage"), JSON.parse(root.querySelector("script[type='application/json']").textContent));
  };
  const near = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) { near.unobserve(entry.target); begin(entry.target); }
  }, { rootMargin: "300px" });
  const define = (kind, start) => {
    kinds[kind] = start;
    document.querySelectorAll(`.live[data-kind="${kind}"]:not([data-on])`).forEach((root) => near.observe(root));
  };
  window.interpLive = { define, el, svg, range, tile, choose, fixed, result };
})();
