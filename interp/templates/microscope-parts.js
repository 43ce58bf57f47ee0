// What the pages of a microscope are made of: tiles, columns, histogram, neighbors. The data come as scripts, since a page
// that is opened from a folder may load scripts, but fetch nothing.
"use strict";

const KINDS = ["minimum", "below", "above", "maximum"];
const POOLS = { mean: "mean over the positions", max: "maximum over the positions", center: "middle position" };
const WHOLE = [0, 0, 1], SMALLER = 0.97; // a window of nearly the whole image is no patch
const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"; // of interp/microscope/details.py
const SHEET = 256, ACROSS = 16; // optimized pictures on a sheet and in its row
const view = { shown: "whole", face: "plus" }; // of a channel: whole scenes, patches, or light where it answered
let about = null;

/* ---- small helpers ---- */

function make(tag, attributes = {}, ...children) {
  const element = ["svg", "path"].includes(tag) ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(key, value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(key, value);
  }
  element.append(...children.filter(child => child !== null && child !== undefined && child !== false));
  return element;
}

function show(value) {
  const size = Math.abs(value);
  const text = size === 0 ? "0" : size < 0.001 || size >= 100000 ? value.toExponential(1) : size >= 100 ? String(Math.round(value)) : value.toPrecision(3);
  return text.replace("-", "\u2212");
}

const signed = value => (value < 0 ? "" : "+") + show(value);
const many = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
const has = (layer, sign) => layer.optimized.includes(sign); // whether pictures were optimized for it, and to which side
const called = (layer, channel) => layer.called ? `, ${layer.called[channel]}` : "";
const address = (name, channel) => `#${encodeURIComponent(name)}${channel === undefined ? "" : `/${channel}`}`;
const labelOf = place => about.names[about.labels[place]];
const tagsOf = place => (about.tagged && about.tagged[place] || []).map(index => about.tags[index]);
const words = place => `${labelOf(place)}, image ${about.ids[place]}`;

/* ---- tiles ---- */

/* One of the images. The window [left, top, side], in shares of the image, is what is cut out, or framed. */
function photograph(place, window, { tag = "span", framed = false, light = null, ...attributes } = {}) {
  const [left, top, side] = window && !framed ? window : WHOLE, pixels = about.thumbnail;
  const file = `thumbnails/${String(Math.floor(place / 1000)).padStart(3, "0")}/${String(place % 1000).padStart(3, "0")}.webp`;
  const tile = make(tag, { class: "tile", ...attributes });
  tile.append(make("img", { src: file, alt: words(place), loading: "lazy", decoding: "async", width: pixels, height: pixels,
    error: () => tile.classList.add("missing"),
    style: side < 1 ? `width:${100 / side}%;left:${-100 * left / side}%;top:${-100 * top / side}%` : null }));
  if (framed && window && window[2] < SMALLER) tile.append(make("span", { class: "frame",
    style: `left:${100 * window[0]}%;top:${100 * window[1]}%;width:${100 * window[2]}%;height:${100 * window[2]}%` }));
  if (light) tile.append(light);
  return tile;
}

/* Where a channel answered in a scene: the rest is dark. The cells come two in a digit, eight steps each. */
function lit(text, inverted) {
  const cells = Math.floor(Math.sqrt(2 * text.length)); // images of other sizes have maps of other sizes
  const canvas = make("canvas", { width: cells, height: cells, class: "light", "aria-hidden": "true" }), brush = canvas.getContext("2d");
  for (let cell = 0; cell < cells * cells; cell++) {
    const digit = DIGITS.indexOf(text[cell >> 1]), step = cell & 1 ? digit & 7 : digit >> 3;
    brush.fillStyle = `rgba(0, 0, 0, ${(0.86 * (inverted ? step : 7 - step) / 7).toFixed(3)})`;
    brush.fillRect(cell % cells, Math.floor(cell / cells), 1, 1);
  }
  return canvas;
}

/* What was optimized for a channel: a square of a sheet, less a hair at the border, where its neighbors would shine in. */
function optimized(layer, channel, sign, tag, attributes) {
  const tile = make(tag, { class: "tile", ...attributes }), sheet = Math.floor(channel / SHEET), place = channel % SHEET;
  const count = Math.min(SHEET, layer.channels - sheet * SHEET), columns = Math.min(ACROSS, count), rows = Math.ceil(count / ACROSS);
  const hair = 0.004, zoom = 1 / (1 - 2 * hair);
  const offset = (index, all) => all * zoom === 1 ? 0 : 100 * (index + hair) * zoom / (all * zoom - 1);
  tile.style.backgroundImage = `url("optimized/${layer.slug}-${sign}-${sheet}.webp")`;
  tile.style.backgroundSize = `${100 * columns * zoom}% ${100 * rows * zoom}%`;
  tile.style.backgroundPosition = `${offset(place % ACROSS, columns)}% ${offset(Math.floor(place / ACROSS), rows)}%`;
  return tile;
}

/* The same alone and larger, from a file of its own: a page of one channel does not fetch whole sheets. */
function alone(layer, channel, sign, tag, attributes) {
  const tile = make(tag, { class: "tile", ...attributes });
  tile.append(make("img", { src: `optimized/${layer.slug}-${sign}/${channel}.webp`, alt: "", loading: "lazy", decoding: "async" }));
  return tile;
}

/* A channel as a link: what was optimized for it, or else the patch of its strongest or weakest image. */
function channelTile(layer, channel, unit, face = "plus", picture = optimized) {
  const name = `${layer.name}, channel ${channel}${called(layer, channel)}`, end = face === "minus" ? 0 : 1, place = unit && unit.i[end][0];
  const link = { href: address(layer.name, channel), title: name, "aria-label": name };
  const tile = has(layer, face) ? picture(layer, channel, face, "a", link)
    : place !== null && place !== undefined ? photograph(place, unit.w[end], { tag: "a", ...link }) : make("a", { class: "tile", ...link });
  const dead = unit && unit.dead;
  if (dead) tile.classList.add("dead");
  tile.append(make("span", { class: "number", "aria-hidden": "true" }, dead ? `${channel} dead` : String(channel)));
  return tile;
}

/* ---- the six columns ---- */

function columns(layer, unit, channel) {
  const box = make("div", { class: "columns", style: `--abreast:${4 + has(layer, "minus") + has(layer, "plus")}` });
  if (has(layer, "minus")) box.append(end(layer, channel, "minus"));
  unit.b.forEach((band, index) => box.append(bandColumn(layer, unit, channel, band, index)));
  if (has(layer, "plus")) box.append(end(layer, channel, "plus"));
  return box;
}

function end(layer, channel, sign) {
  const side = sign === "plus" ? "Positive" : "Negative", name = `${side} optimized picture of ${layer.name}, channel ${channel}`;
  return make("section", {}, make("h3", {}, `${side} optimized`), make("p", { class: "span" }, sign === "plus" ? "made to drive it up" : "made to drive it down"),
    alone(layer, channel, sign, "button", { type: "button", title: name, "aria-label": name, click: () => magnify(layer, channel, sign, name) }));
}

/* An optimized picture, large. */
function magnify(layer, channel, sign, name) {
  opened(name, make("h2", {}, name), alone(layer, channel, sign, "div", { role: "img", "aria-label": name }),
    make("p", { class: "soft" }, `Noise, changed in small steps so that the channel is driven ${sign === "plus" ? "up" : "down"} at all positions.`)).classList.add("large");
}

/* A box above the page. */
function opened(name, ...children) {
  const box = make("dialog", { "aria-label": name, close: () => box.remove(), click: event => { if (event.target === box || event.target.closest("a")) box.close(); } },
    make("button", { type: "button", class: "theme close", click: () => box.close() }, "Close"), ...children);
  document.body.append(box);
  box.showModal();
  return box;
}

function bandColumn(layer, unit, channel, band, number) {
  const light = index => view.shown === "light" && unit.a[number][index] ? lit(unit.a[number][index], number === 0) : null;
  const scores = band.s, low = Math.min(...scores), high = Math.max(...scores);
  const span = scores.length ? (low === high ? `all ${show(low)}` : `${show(low)} to ${show(high)}`) + (band.tied ? ", tied" : "") : "no image";
  const tiles = make("ul", { class: scores.length === 1 ? "three one" : "three" }), values = make("ol", { class: "values" });
  band.i.forEach((place, index) => {
    const open = () => enlarge(layer, channel, band, index, light(index));
    tiles.append(make("li", {}, photograph(place, band.w[index], { tag: "button", framed: view.shown !== "patch", light: light(index), type: "button", click: open,
      title: `${labelOf(place)}: ${show(scores[index])}` })));
    values.append(make("li", {}, make("b", {}, show(scores[index])), make("span", {}, labelOf(place))));
  });
  return make("section", {}, make("h3", { class: `kind-${KINDS[number]}` }, band.n), make("p", { class: "span" }, span),
    scores.length ? tiles : make("p", { class: "none" }, "No image has such a score."), values);
}

/* One image, large, with the channels of the layer for which it is an extreme as well. */
function enlarge(layer, channel, band, index, light) {
  const place = band.i[index], seen = tagsOf(place);
  const box = opened(words(place), make("h2", {}, labelOf(place), make("span", { class: "soft" }, `${seen.length ? `${seen.join(", ")}; ` : ""}image ${about.ids[place]}`)), photograph(place, band.w[index], { framed: true, light }),
    make("p", {}, `${band.n} of ${layer.name}, channel ${channel}, number ${index + 1}. The score is ${show(band.s[index])}.` +
      (band.w[index] && band.w[index][2] < SMALLER ? " The frame is the patch in which the channel was most extreme." : "")));
  load(layer.name).then(({ units }) => {
    const others = units.map((other, number) => [number, other]).filter(([number, other]) => number !== channel && other.i.some(places => places.includes(place))).slice(0, 12);
    if (others.length) box.append(make("p", { class: "soft" }, "Among the extremes of these channels of the layer, too:"),
      make("div", { class: "sheet" }, ...others.map(([number, other]) => channelTile(layer, number, other, "plus", alone))));
  }, () => {});
}

/* ---- neighbors ---- */

function neighbors(unit, turn) {
  const kinds = [["below", "Moved most by", "Weights from the layer before on this site, without the non-linearities between, as shares: the squares of all of a channel's add up to 1."],
    ["above", "Moves most", "Where this channel has its largest shares in the layer behind on this site."],
    ["alike", "Agrees or disagrees most with", "Correlation of the scores over a sample of the images, among all layers of this site."]];
  const sections = kinds.filter(([kind]) => unit[kind].length).map(([kind, title, note]) =>
    make("section", {}, make("h2", {}, title), make("p", {}, note), make("ul", {}, ...unit[kind].map(entry => neighbor(entry, turn)))));
  return make("div", { class: "neighbors" }, ...sections);
}

function neighbor([index, channel, value], turn) {
  const layer = about.layers[index], item = make("li");
  const draw = data => item.replaceChildren(channelTile(layer, channel, data && data.units[channel], "plus", alone),
    make("b", { class: value < 0 ? "kind-minimum" : "kind-maximum" }, signed(value)), ` ${layer.name} / ${channel}${called(layer, channel)}`);
  draw(loaded.get(layer.name));
  if (!has(layer, "plus") && !loaded.has(layer.name)) whenNear(item, () => load(layer.name).then(data => turn() && draw(data), failed));
  return item;
}
