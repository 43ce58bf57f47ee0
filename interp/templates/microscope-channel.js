// What only the page of a channel shows: its scores with a scrubber, tenths of the scale, what it moves at the output, what
// its strongest places show, what is left without color and so on, its data as a file; and the drawn network, by which one gets to it.
"use strict";

/* ---- the network, drawn ---- */

/* The blocks in their order: as high as there are positions, as wide as there are channels; those of this site are links. */
function drawn(here) {
  const boxes = about.route || [], tallest = Math.max(...boxes.map(([, , side]) => side));
  if (boxes.length < 2) return null;
  return make("nav", { class: "route", "aria-label": "The network, from the image to the output" }, make("ol", {}, ...boxes.map(([name, channels, side]) => {
    const layer = about.layers.find(each => each.name === name), text = `${name}: ${many(channels, "channel")}, ${side} \u00d7 ${side}`;
    const box = make("i", { style: `height:${6 + 42 * Math.sqrt(side / tallest)}px;width:${2 + 1.6 * Math.log2(1 + channels)}px` });
    return make("li", { class: layer ? "known" : null }, layer ? make("a", { href: address(name), title: text, "aria-label": text, "aria-current": layer === here ? "page" : null }, box, make("span", {}, name))
      : make("span", { title: text }, box));
  })));
}

/* ---- all scores ---- */

/* Scores as they lie in the data, two digits each: the place between the lowest and the highest. */
function scoresOf(unit) {
  const [low, high] = unit.r, found = [];
  for (let index = 0; 2 * index < unit.q.length; index++) {
    const code = 64 * DIGITS.indexOf(unit.q[2 * index]) + DIGITS.indexOf(unit.q[2 * index + 1]);
    if (code < 4095) found.push([low + (high - low) * code / 4094, about.sample[index]]);
  }
  return found;
}

const PAD = 13; // percent of the axis at each end, where optimized pictures lie beyond all images

function histogram(layer, unit, channel) {
  const [low, high] = unit.r, pad = unit.o ? PAD : 0;
  const share = value => pad + (100 - 2 * pad) * (high > low ? (value - low) / (high - low) : 0.5);
  if (unit.dead) return make("p", { class: "none", style: "aspect-ratio:auto;padding:40px" }, unit.m === null ? "No image has a finite score." : `Every image has the score ${show(low)}.`);
  const step = (100 - 2 * pad) / unit.h.length, plot = make("div", { class: "plot", role: "img", "aria-label":
    `Histogram of all scores, from ${show(low)} to ${show(high)}, median ${show(unit.m)}` });
  const bars = unit.h.map((count, index) => `M${pad + index * step} 100h${step * 0.94}v${-count / 10}h${-step * 0.94}z`).join("");
  plot.append(make("svg", { viewBox: "0 0 100 100", preserveAspectRatio: "none" }, make("path", { d: bars })));
  const marks = make("div", { class: "marks", "aria-hidden": "true" }), scale = make("div", { class: "scale" });
  unit.b.forEach((band, index) => band.s.forEach(score => marks.append(make("i", { class: `kind-${KINDS[index]}`, style: `left:${share(score)}%` }))));
  for (const [value, edge] of [[low, "start"], [high, "end"]]) scale.append(make("span", { class: pad ? null : edge, style: `left:${share(value)}%` }, show(value)));
  if (low < 0 && high > 0) {
    plot.append(make("span", { class: "zero", style: `left:${share(0)}%` }));
    if (share(0) > share(low) + 9 && share(0) < share(high) - 9) scale.append(make("span", { style: `left:${share(0)}%` }, "0"));
  }
  if (pad) ["minus", "plus"].forEach((sign, index) => unit.o[index] !== null && plot.append(mark(layer, channel, sign, unit.o[index], unit, share)));
  const names = unit.b.flatMap((band, index) => [index ? ", " : "", make("b", { class: `kind-${KINDS[index]}` }, band.n.toLowerCase())]);
  return make("figure", { class: "histogram", style: `--pad:${pad}%` }, plot, marks, scale, about.sample.length > 8 && scrubber(unit, plot, share), make("figcaption", {},
    "How often each score occurs among all images; a bar's height is the share of the images. The marks below are the images of the columns: ", ...names, "." +
    (pad ? " At the ends, the optimized pictures: where their scores lie beyond those of all images, the axis is broken." : "")));
}

/* An optimized picture on the axis: where its score is, or beyond a break where no image comes near. */
function mark(layer, channel, sign, score, unit, share) {
  const beyond = score < unit.r[0] || score > unit.r[1], at = beyond ? (score < unit.r[0] ? 0 : 100) : share(score);
  const widest = unit.r[1] - unit.r[0], far = Math.abs(score - (score < unit.r[0] ? unit.r[0] : unit.r[1])) / widest;
  return make("span", { class: `made${beyond ? at ? " last" : " first" : ""}`, style: `left:${at}%` }, alone(layer, channel, sign, "span", {}),
    make("b", { class: sign === "plus" ? "kind-maximum" : "kind-minimum" }, show(score)), beyond && make("small", {}, `${far < 0.1 ? "less than 0.1" : Number(far.toPrecision(2))} of the range away`));
}

/* One moves along the axis; the images nearest to the value are shown. */
function scrubber(unit, plot, share) {
  const [low, high] = unit.r, all = scoresOf(unit).sort((one, other) => one[0] - other[0]), count = Math.min(9, all.length);
  const line = make("span", { class: "now" }), row = make("ul", { class: "strip" }), text = make("output", { class: "soft" });
  const control = make("input", { type: "range", min: 0, max: 500, value: Math.round(500 * (unit.m - low) / (high - low)), "aria-label": "Score near which images are shown", input: () => move() });
  const move = () => {
    const value = low + (high - low) * control.value / 500, below = all.filter(([score]) => score < value).length;
    let start = Math.min(Math.max(below - Math.ceil(count / 2), 0), all.length - count);
    while (start > 0 && value - all[start - 1][0] < all[start + count - 1][0] - value) start--;
    while (start + count < all.length && all[start + count][0] - value < value - all[start][0]) start++;
    line.style.left = `${share(value)}%`;
    row.replaceChildren(...all.slice(start, start + count).map(([score, place]) => sampleOf(place, score)));
    text.textContent = `Near ${show(value)}: higher than ${(100 * below / all.length).toFixed(below && below < all.length ? 1 : 0)} % of ${many(all.length, "image")}`;
    control.setAttribute("aria-valuetext", text.textContent);
  };
  // On the bars, too, by pressing or going along; a finger that moves up or down scrolls the page, and changes nothing.
  const drag = event => {
    const box = plot.getBoundingClientRect(), at = 100 * (event.clientX - box.left) / box.width;
    control.value = Math.round(500 * (at - share(low)) / (share(high) - share(low)));
    move();
  };
  plot.addEventListener("pointerdown", event => { if (event.pointerType !== "touch") { plot.setPointerCapture(event.pointerId); drag(event); } });
  plot.addEventListener("click", drag); // a finger that taps
  plot.addEventListener("pointermove", event => { if (event.pointerType === "touch" || event.buttons) drag(event); });
  plot.append(line);
  move();
  return make("div", { class: "scrubber" }, control, text, row);
}

const sampleOf = (place, score) => make("li", {}, photograph(place, null, { title: `${words(place)}: ${show(score)}` }), make("span", {}, show(score)));

/* Tenths of the scale, the highest first: how many images lie in each, and the first of them, whatever their score. */
function tenths(unit) {
  const [low, high] = unit.r, rows = Array.from({ length: 10 }, () => []);
  for (const [score, place] of scoresOf(unit)) rows[high > low ? Math.min(9, Math.floor(10 * (score - low) / (high - low))) : 0].push([score, place]);
  const edge = index => show(low + (high - low) * index / 10);
  const whole = rows.reduce((sum, row) => sum + row.length, 0);
  return make("section", {}, make("h2", {}, "Tenth by tenth", make("span", { class: "soft" }, "The scale in ten equal parts, from the top: images drawn without looking at where in the part they lie.")),
    make("ol", { class: "tenths" }, ...rows.map((row, index) => make("li", {}, make("div", {}, make("b", {}, `${edge(index)} to ${edge(index + 1)}`), make("span", {}, `${row.length.toLocaleString("en")} of ${whole.toLocaleString("en")}`)),
      row.length ? make("ul", { class: "strip" }, ...row.slice(0, 9).map(([score, place]) => sampleOf(place, score))) : make("p", { class: "soft" }, "none"))).reverse()));
}

/* ---- what it does, what it shows, what it needs ---- */

function outputs(layer, { classes: found }) {
  const side = (title, entries, kind) => make("div", {}, make("h3", { class: `kind-${kind}` }, title), make("table", {}, make("tbody", {}, ...entries.map(([name, mean, error, farther]) => make("tr", {},
    make("th", { scope: "row" }, name), make("td", {}, `${signed(mean)} \u00b1 ${show(error)}`), make("td", { class: "soft" }, farther ? `${farther} of ${layer.channels - 1} move${farther === 1 ? "s" : ""} it farther` : "no other moves it farther"))))));
  return make("section", { class: "outputs" }, make("h2", {}, "What it moves at the output"),
    make("p", {}, `The channel is raised at all positions by its standard deviation over the images, ${show(found.step)}: the mean change of the logits over ${found.images || 20} images, with two standard errors, and how many of the layer's other channels, raised by theirs, move the class farther.`),
    make("div", { class: "two" }, side("Raises most", found.up.filter(([, mean]) => mean > 0), "maximum"), side("Lowers most", found.down.filter(([, mean]) => mean < 0), "minimum")),
    make("p", { class: "soft" }, `Control: what it does to all classes on one half of the images agrees with the other half at r = ${found.halves.toFixed(2).replace("-", "\u2212")}; with the other half of another channel at r = ${found.others.toFixed(2).replace("-", "\u2212")}. Of a channel of this layer, the class that it raises most rises by ${show(found.usual)} (the median).`));
}

function shown({ labels: found }) {
  const most = Math.max(found.chance, ...found.best.map(([, iou]) => iou)), width = value => `${100 * value / most / 1.08}%`, percent = value => `${Number((100 * value).toPrecision(2))} %`;
  return make("section", { class: "labels" }, make("h2", {}, "What its strongest places show"),
    make("p", {}, `Of all places of all images, the ${percent(found.share)} at which the channel answers most. ${percent(found.inside)} of them lie on the labeled object, which covers ${percent(found.covered)} of the images. Bars: intersection over union with the masks of a label; the rule: what the best label reaches by chance, in one of 20 draws, when the objects exchange their labels.`),
    make("ol", {}, ...found.best.map(([name, iou]) => make("li", { class: iou > found.chance ? null : "soft" }, make("span", {}, name), make("div", {}, make("i", { style: `width:${width(iou)}` }), make("s", { style: `left:${width(found.chance)}` })), make("b", {}, iou.toFixed(3))))),
    make("p", { class: "soft" }, found.best[0][1] > found.chance ? `Chance reaches ${found.chance.toFixed(3)}.` : `Chance reaches ${found.chance.toFixed(3)}: no label is shown more than by chance.`));
}

const LEFT = [
  ["gray", "without color", "each pixel as gray as it is bright"], ["shuffled", "without arrangement", "cut into squares of 32 pixels, which change places: texture and color stay"],
  ["flat", "without texture", "objects and ground filled with their mean color: outline and color stay"], ["mirrored", "control: mirrored", "nothing is taken; what is lost was chance in the choice of the scenes"]];

function left({ cues: { scenes, kept } }) {
  const most = Math.max(1, ...Object.values(kept)), width = value => `${100 * Math.max(0, value) / most / 1.08}%`;
  return make("section", { class: "labels left" }, make("h2", {}, "What is left of its response"),
    make("p", {}, `The response: by how much its ${scenes} strongest scenes move it more than ${scenes} in the middle. Bars: which part of that is left when something is taken from all of them; the rule is what the control keeps.`),
    make("ol", {}, ...LEFT.map(([key, name, what]) => make("li", { class: key === "mirrored" ? "soft" : null, title: what }, make("span", {}, name, make("small", {}, what)), make("div", {}, make("i", { style: `width:${width(kept[key])}` }), make("s", { style: `left:${width(kept.mirrored)}` })), make("b", {}, `${Math.round(100 * kept[key])} %`.replace("-", "\u2212"))))));
}

/* ---- take it along ---- */

function tools(layer, unit, channel) {
  const said = (button, text) => { const before = button.textContent; button.textContent = text; setTimeout(() => { button.textContent = before; }, 1600); };
  const copy = make("button", { type: "button", click: async () => { try { await navigator.clipboard.writeText(location.href); said(copy, "Copied"); } catch { said(copy, "Not allowed"); } } }, "Copy link");
  const save = make("button", { type: "button", click: () => {
    const file = URL.createObjectURL(new Blob([JSON.stringify(recordOf(layer, unit, channel), null, 1)], { type: "application/json" }));
    make("a", { href: file, download: `${layer.slug}-${channel}.json` }).click();
    setTimeout(() => URL.revokeObjectURL(file), 1000);
  } }, "Save as JSON");
  const grow = about.grow && !has(layer, "plus") && make("a", { href: `${about.grow}#grow/${encodeURIComponent(layer.name)}/${channel}/0` }, "Grow it in the lab");
  return make("div", { class: "tools" }, grow, copy, save);
}

/* All that the page knows of a channel, in words. */
function recordOf(layer, unit, channel) {
  const image = place => ({ image: about.ids[place], label: labelOf(place), objects: tagsOf(place) }), near = entries => entries.map(([index, other, value]) => ({ layer: about.layers[index].name, channel: other, value }));
  return {
    network: about.title, layer: layer.name, channel, images: unit.n, score: POOLS[about.pool] || about.pool, range: unit.r, median: unit.m, warnings: unit.f,
    columns: unit.b.map(band => ({ name: band.n, images: band.i.map((place, index) => ({ ...image(place), score: band.s[index], patch: band.w[index] })) })),
    histogram: unit.h, moved_most_by: near(unit.below), moves_most: near(unit.above), agrees_most_with: near(unit.alike),
    optimized: unit.o ? { negative: unit.o[0], positive: unit.o[1] } : null, classes: unit.classes || null, labels: unit.labels || null, left: unit.cues || null,
    scores: scoresOf(unit).map(([score, place]) => [about.ids[place], +score.toPrecision(4)]),
  };
}

/* The chapters that speak of a channel; a site beside a book knows them. */
function spoken(name, channel) {
  const found = microscope.pages[`${name}/${channel}`] || [];
  return found.length > 0 && make("p", { class: "spoken" }, "Spoken of in ", ...found.flatMap(([title, where], index) => [index ? index === found.length - 1 ? " and " : ", " : "", make("a", { href: where }, title)]), ".");
}
