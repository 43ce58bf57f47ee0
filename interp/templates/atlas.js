// An atlas: a plane of cells that is moved and zoomed, and what one cell is made of. The data come as a script, since a
// page that is opened from a folder may load scripts, but fetch nothing.
"use strict";

const SHEET = 256, ACROSS = 16; // pictures on a sheet and in its row
const UNIT = 64, NEAR = 1.15, LEAST = 0.55; // pixels of a cell at scale 1; scale at which names show; side of the emptiest cell
const map = document.querySelector(".map"), plane = document.querySelector(".plane"), panel = document.querySelector(".cell .about");
const place = { x: 0, y: 0, scale: 1 };
let about = null, buttons = [], fitted = true;

/* ---- small helpers ---- */

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(key, value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(key, value);
  }
  element.append(...children.filter(child => child !== null && child !== undefined && child !== false));
  return element;
}

const many = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
const signed = value => `${value < 0 ? "\u2212" : "+"}${Math.abs(value).toPrecision(2)}`;
const className = index => about.classes[index] ?? `class ${index}`;
const speaksFor = cell => cell.k.length ? className(cell.k[0][0]) : "";

/* A square of a sheet, as the background of an element. */
function paint(element, name, index, count) {
  const sheet = Math.floor(index / SHEET), inside = index % SHEET, here = Math.min(SHEET, count - sheet * SHEET);
  const columns = Math.min(ACROSS, here), rows = Math.ceil(here / columns), at = [inside % columns, Math.floor(inside / columns)];
  const share = (number, all) => all > 1 ? 100 * number / (all - 1) : 0;
  element.style.backgroundImage = `url("${name}-${sheet}.webp")`;
  element.style.backgroundSize = `${100 * columns}% ${100 * rows}%`;
  element.style.backgroundPosition = `${share(at[0], columns)}% ${share(at[1], rows)}%`;
  return element;
}

/* ---- the plane ---- */

function drawPlane() {
  const most = Math.max(...about.cells.map(cell => cell.n));
  buttons = about.cells.map((cell, index) => {
    const side = UNIT * (LEAST + (1 - LEAST) * Math.sqrt(cell.n / most)), [row, column] = cell.at;
    const button = make("button", { type: "button", "aria-pressed": "false", title: speaksFor(cell), click: () => { if (!dragged) choose(index); },
      "aria-label": `Cell ${index + 1} of ${about.cells.length}, ${many(cell.n, "point")}${speaksFor(cell) ? `, speaks for ${speaksFor(cell)}` : ""}`,
      style: `left:${UNIT * column + (UNIT - side) / 2}px;top:${UNIT * row + (UNIT - side) / 2}px;width:${side}px;height:${side}px` });
    if (speaksFor(cell)) button.append(make("span", {}, speaksFor(cell)));
    return paint(button, "cells", index, about.cells.length);
  });
  plane.append(...buttons);
}

function move() {
  plane.style.transform = `translate(${place.x}px,${place.y}px) scale(${place.scale})`;
  plane.style.setProperty("--scale", place.scale);
  map.classList.toggle("near", place.scale >= NEAR);
}

function zoom(factor, x = map.clientWidth / 2, y = map.clientHeight / 2) {
  const scale = Math.min(8, Math.max(0.2, place.scale * factor)), ratio = scale / place.scale;
  Object.assign(place, { x: x - (x - place.x) * ratio, y: y - (y - place.y) * ratio, scale });
  fitted = false;
  move();
}

function fit() {
  const rows = about.cells.map(cell => cell.at[0]), columns = about.cells.map(cell => cell.at[1]);
  const [top, left] = [Math.min(...rows), Math.min(...columns)], [down, across] = [Math.max(...rows) - top + 1, Math.max(...columns) - left + 1];
  const scale = Math.min(map.clientWidth / (UNIT * (across + 0.5)), map.clientHeight / (UNIT * (down + 0.5)));
  Object.assign(place, { scale, x: (map.clientWidth - UNIT * across * scale) / 2 - UNIT * left * scale,
    y: (map.clientHeight - UNIT * down * scale) / 2 - UNIT * top * scale });
  fitted = true;
  move();
}

/* Pointers: one moves the plane, two zoom it. What was dragged is not clicked. */
const fingers = new Map();
let dragged = false;
map.addEventListener("pointerdown", event => { fingers.set(event.pointerId, event); if (fingers.size === 1) dragged = false; });
addEventListener("pointermove", event => {
  const before = fingers.get(event.pointerId);
  if (!before) return;
  const others = [...fingers.values()].filter(one => one.pointerId !== event.pointerId), box = map.getBoundingClientRect();
  const far = Math.hypot(event.clientX - before.clientX, event.clientY - before.clientY);
  if (!dragged && !others.length && far < 4) return; // a click with a trembling hand
  dragged = true;
  fitted = false;
  map.classList.add("moving");
  if (others.length) {
    const [other] = others, apart = one => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
    zoom(apart(event) / Math.max(apart(before), 1), (event.clientX + other.clientX) / 2 - box.left, (event.clientY + other.clientY) / 2 - box.top);
  } else {
    place.x += event.clientX - before.clientX;
    place.y += event.clientY - before.clientY;
    move();
  }
  fingers.set(event.pointerId, event);
});
for (const end of ["pointerup", "pointercancel"]) addEventListener(end, event => { fingers.delete(event.pointerId); map.classList.remove("moving"); });
map.addEventListener("wheel", event => {
  event.preventDefault();
  const box = map.getBoundingClientRect();
  zoom(Math.exp(-event.deltaY * 0.0015), event.clientX - box.left, event.clientY - box.top);
}, { passive: false });
document.querySelector(".zoom").addEventListener("click", event => {
  const way = event.target.dataset.zoom;
  if (way === "fit") fit();
  else if (way) zoom(way === "in" ? 1.5 : 1 / 1.5);
});
addEventListener("resize", () => { if (about && fitted) fit(); });

/* The arrow keys lead to the nearest cell on their side. Where the browser scrolls to what has the focus, the plane moves instead. */
const WAYS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
plane.addEventListener("keydown", event => {
  const way = WAYS[event.key], here = buttons.indexOf(event.target);
  if (!way || here < 0 || event.altKey || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  const far = about.cells.map(cell => {
    const [down, across] = cell.at.map((value, axis) => value - about.cells[here].at[axis]);
    const along = down * way[0] + across * way[1], aside = Math.abs(down * way[1]) + Math.abs(across * way[0]);
    return along > 0 ? along + 2 * aside : Infinity;
  });
  const next = far.indexOf(Math.min(...far));
  if (far[next] < Infinity) { choose(next); buttons[next].focus(); }
});
plane.addEventListener("focusin", ({ target }) => requestAnimationFrame(() => {
  if (!target.matches(":focus-visible")) return; // what was pointed at is in sight
  const box = target.getBoundingClientRect(), frame = map.getBoundingClientRect(), rim = 6;
  const missing = (start, end, from, to) => start < from + rim ? from + rim - start : Math.min(to - rim - end, 0);
  const [x, y] = [missing(box.left, box.right, frame.left, frame.right), missing(box.top, box.bottom, frame.top, frame.bottom)];
  if (!x && !y) return;
  Object.assign(place, { x: place.x + x, y: place.y + y });
  fitted = false;
  move();
}));
map.addEventListener("scroll", () => {
  if (!map.scrollLeft && !map.scrollTop) return;
  Object.assign(place, { x: place.x - map.scrollLeft, y: place.y - map.scrollTop });
  fitted = false;
  map.scrollTo(0, 0);
  move();
});

/* ---- one cell ---- */

function choose(index) {
  const before = location.hash;
  history.replaceState(null, "", `#${index + 1}`);
  if (before !== location.hash || !panel.querySelector(".large")) drawCell(index);
}

function fromAddress() {
  const index = Number(location.hash.slice(1)) - 1;
  if (about.cells[index]) drawCell(index);
  else drawWords();
}

function drawWords() {
  panel.replaceChildren(make("h2", {}, about.layer), about.about && make("p", {}, about.about),
    make("p", {}, `${many(about.points, "point")} of ${many(about.images, "image")}, in ${many(about.cells.length, "cell")}. Choose a cell.`),
    about.credit ? make("p", { class: "soft" }, about.credit) : "");
}

function drawCell(index) {
  const cell = about.cells[index];
  buttons.forEach((button, number) => button.setAttribute("aria-pressed", String(number === index)));
  panel.replaceChildren(make("h2", {}, speaksFor(cell) || `Cell ${index + 1}`), paint(make("div", { class: "large", role: "img",
    "aria-label": "The picture that was optimized for this cell" }), "cells", index, about.cells.length),
    make("p", { class: "soft" }, `Optimized for the average of ${many(cell.n, "point")}.`),
    cell.k.length ? make("h3", {}, "Speaks for, logit") : "", speaks(cell), make("h3", {}, "Images here"), images(cell),
    cell.c.length ? make("h3", {}, "Channels that stand out") : "", channels(cell), about.credit ? make("p", { class: "soft" }, about.credit) : "");
}

function speaks(cell) {
  const most = Math.max(...cell.k.map(([, value]) => value), 1e-9);
  return make("ol", { class: "speaks" }, ...cell.k.map(([index, value]) => make("li", {}, make("i", { style: `width:${100 * value / most}%` }),
    make("span", {}, className(index)), make("span", {}, signed(value)))));
}

function images(cell) {
  const told = cell.l.filter(([index]) => about.names[index]).map(([index, share]) => `${about.names[index]} ${Math.round(100 * share)} %`);
  const tiles = cell.x.map(([shown, x, y]) => {
    const [id, label] = about.shown[shown], words = about.names[label] ? `${about.names[label]}, image ${id}` : `image ${id}`;
    const tile = paint(make("span", { class: "tile", role: "img", "aria-label": words }, make("i", { style: `left:${100 * x}%;top:${100 * y}%` })),
      "images", shown, about.shown.length);
    return make("li", {}, tile, words);
  });
  return make("div", {}, told.length ? make("p", { class: "soft" }, `Of its points: ${told.join(", ")}.`) : "", make("ul", { class: "tiles" }, ...tiles));
}

function channels(cell) {
  return make("ul", { class: "tiles" }, ...cell.c.map(([shown, value]) => {
    const [channel] = about.channels[shown], words = `${channel}, ${signed(value)} sd`;
    const attributes = { class: "tile", role: "img", "aria-label": `Optimized for channel ${channel}${value < 0 ? ", downward" : ""}` };
    const tile = paint(make("span", attributes), "channels", shown, about.channels.length);
    return make("li", {}, about.units ? make("a", { href: `${about.units}/${channel}` }, tile, words) : tile, about.units ? "" : words);
  }));
}

/* ---- start ---- */

function search(text) {
  const wanted = text.trim().toLowerCase();
  buttons.forEach((button, index) => button.classList.toggle("off",
    wanted !== "" && !about.cells[index].k.some(([number]) => className(number).toLowerCase().includes(wanted))));
}

function atlas(data) {
  about = data;
  document.title = document.querySelector("h1").textContent = `${about.title}: activation atlas`;
  const back = document.querySelector(".back");
  if (about.back) { back.textContent = about.back[0]; back.href = about.back[1]; back.hidden = false; }
  const known = new Set(about.cells.flatMap(cell => cell.k.map(([index]) => className(index))));
  document.querySelector("#classes").append(...[...known].sort().map(name => make("option", { value: name })));
  document.querySelector(".find").hidden = !known.size;
  document.querySelector(".find input").addEventListener("input", event => search(event.target.value));
  drawPlane();
  fit();
  fromAddress();
  addEventListener("hashchange", fromAddress);
}
