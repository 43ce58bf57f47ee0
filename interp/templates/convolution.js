// A 3 x 3 kernel on a gray photograph: the patch, the nine products, their sum, and all sums as a picture.
interpLive.define("convolution", (stage, data) => {
  const { el, choose, fixed, result } = interpLive;
  const { width, height } = data, out = [height - 2, width - 2];
  const pixels = Uint8Array.from(atob(data.pixels), (letter) => letter.charCodeAt(0));
  const at = [Math.floor(out[0] / 2), Math.floor(out[1] / 2)], names = Object.keys(data.kernels);
  const OWN = "Your own", legend = el("span", { className: "legend" });
  let kernel = data.kernels[names[0]].flat(), shade = null;
  const patch = () => [0, 1, 2].flatMap((i) => [0, 1, 2].map((j) => pixels[(at[0] + i) * width + at[1] + j] / 255));
  const canvas = (columns, rows) => el("canvas", { width: columns, height: rows, className: "pixels" });
  const photo = canvas(width, height), sums = canvas(out[1], out[0]), window3 = el("span", { className: "mark" });
  const one = el("span", { className: "mark" }), text = result();
  const place = (node, rows, columns, size) => { node.style.cssText =
    `left:${(100 * at[1]) / columns}%;top:${(100 * at[0]) / rows}%;width:${(100 * size) / columns}%;height:${(100 * size) / rows}%`; };
  const paint = (target, value) => {
    const context = target.getContext("2d"), picture = context.createImageData(target.width, target.height);
    for (let n = 0; n < target.width * target.height; n++) picture.data.set([...value(n), 255], 4 * n);
    context.putImageData(picture, 0, 0);
  };
  // White is zero; blue is below, red above.
  const signed = (share) => (share < 0 ? [255 + 205 * share, 255 + 145 * share, 255 + 75 * share] : [255 - 70 * share, 255 - 195 * share, 255 - 200 * share]);
  const color = (node, rgb) => {
    const [r, g, b] = rgb.map((part) => (part / 255) ** 2.2);
    node.style.cssText = `background:rgb(${rgb});color:${.21 * r + .72 * g + .07 * b > .18 ? "#000" : "#fff"}`;
  };
  const numbers = () => el("div", { className: "nine", "aria-hidden": "true" }, ...kernel.map(() => el("span")));
  const seen = numbers(), products = numbers(), total = el("span", { className: "total", "aria-hidden": "true" });
  const inputs = kernel.map((value, n) => {
    const input = el("input", { type: "number", step: .5, value, "aria-label": `Kernel, row ${Math.floor(n / 3) + 1}, column ${(n % 3) + 1}` });
    input.addEventListener("input", () => { kernel[n] = +input.value || 0; preset.value = named(); convolve(); show(); });
    return input;
  });
  const show = () => {
    const values = patch(), terms = values.map((value, n) => value * kernel[n]), top = Math.max(...kernel.map(Math.abs), 1e-9);
    values.forEach((value, n) => {
      [seen.children[n].textContent, products.children[n].textContent] = [fixed(value), fixed(terms[n])];
      color(seen.children[n], Array(3).fill(value * 255));
      color(products.children[n], signed(terms[n] / top));
    });
    place(window3, height, width, 3); place(one, ...out, 1);
    const sum = terms.reduce((sum, term) => sum + term, 0);
    total.textContent = fixed(sum); color(total, shade(sum));
    text.textContent = `Row ${at[0] + 1}, column ${at[1] + 1}: the nine products add up to ${fixed(sum)}`;
  };
  const convolve = () => {
    const all = new Float32Array(out[0] * out[1]);
    for (let n = 0; n < all.length; n++) for (let k = 0; k < 9; k++)
      all[n] += kernel[k] * pixels[(Math.floor(n / out[1]) + Math.floor(k / 3)) * width + (n % out[1]) + (k % 3)] / 255;
    const top = all.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-9), below = all.some((value) => value < -1e-6);
    shade = (value) => (below ? signed(value / top) : Array(3).fill(255 * value / top));
    legend.textContent = below ? "Red is above zero, blue below, white is zero." : "The brighter, the larger the sum.";
    paint(sums, (n) => shade(all[n]));
  };
  const same = (name) => data.kernels[name].flat().every((value, n) => Math.abs(value - kernel[n]) < 1e-9);
  const named = () => names.find(same) || OWN;
  const preset = el("select", { "aria-label": "Kernel" }, ...[...names, OWN].map((name) => el("option", { textContent: name, value: name })));
  preset.addEventListener("change", () => {
    if (preset.value === OWN) return inputs[0].focus();
    kernel = data.kernels[preset.value].flat();
    inputs.forEach((input, n) => { input.value = kernel[n]; });
    convolve(); show();
  });
  const frame = el("div", { className: "frame", role: "application",
    "aria-label": `${data.alt}. Arrow keys move the window of three by three pixels.` }, photo, window3);
  choose(frame, ...out, at, show);
  paint(photo, (n) => Array(3).fill(pixels[n]));
  convolve(); show();
  stage.replaceChildren(el("div", { className: "pair stack" }, frame, el("div", { className: "frame" }, sums, one)),
    el("div", { className: "sum controls" }, seen, el("b", { textContent: "×" }), el("div", { className: "nine" }, ...inputs),
      el("b", { textContent: "=" }), products, el("b", { textContent: "\u2192" }), total), legend, el("div", { className: "controls" }, preset, text));
});
