// The pages of a microscope: the first one, a layer, a channel, what a search finds; and how one gets from one to another.
// Every channel has an address that stays: index.html#LAYER/CHANNEL.
"use strict";

const main = document.querySelector("main"), field = document.querySelector("input");
const loaded = new Map(), waiting = new Map(), details = new Map();
let turns = 0;

/* ---- data ---- */

const microscope = {
  pages: {}, // {LAYER/CHANNEL: [[title, address], ...]} of the chapters that speak of it
  chapters(data) { this.pages = data; },
  detail(data) { details.set(`${data.layer}/${data.channel}`, data); },
  index(data) { about = data; start(); },
  layer(data) { loaded.set(data.name, data); (waiting.get(data.name) || []).forEach(done => done(data)); waiting.delete(data.name); },
};

function script(file, missing) {
  document.head.append(make("script", { src: file, error: missing }));
}

function load(name) {
  if (loaded.has(name)) return Promise.resolve(loaded.get(name));
  return new Promise((done, fail) => {
    if (waiting.has(name)) { waiting.get(name).push(done); return; }
    waiting.set(name, [done]);
    script(`data/${about.layers.find(layer => layer.name === name).slug}.js`, () => {
      waiting.delete(name);
      fail(new Error(`The file with the data of ${name} is missing beside this page.`));
    });
  });
}

/* All that the page of a channel shows, in a file for each. */
function detail(layer, channel) {
  const name = `${layer.name}/${channel}`;
  if (details.has(name)) return Promise.resolve(details.get(name));
  return new Promise((done, fail) => document.head.append(make("script", { src: `data/${layer.slug}/${channel}.js`, load: () => done(details.get(name)),
    error: () => fail(new Error(`The file with the data of ${layer.name}, channel ${channel}, is missing beside this page.`)) })));
}

/* ---- pages ---- */

function page(title, ...children) {
  const first = !document.body.dataset.drawn;
  document.body.dataset.drawn = "yes";
  document.title = title ? `${title} · ${about.title}` : `${about.title} · Microscope`;
  main.replaceChildren(...children.filter(Boolean));
  scrollTo(0, 0);
  if (!first) main.querySelector("h1").focus({ preventScroll: true }); // where a screen reader goes on
}

const heading = (...text) => make("h1", { tabindex: -1 }, ...text);
const facts = entries => make("dl", { class: "facts" }, ...entries.filter(([, text]) => text).map(([name, text]) => make("div", {}, make("dt", {}, name), make("dd", {}, text))));
const tileIs = () => about.layers.every(layer => has(layer, "plus")) ? "is the picture that drives its channel up most; click it for the images that do"
  : about.layers.some(layer => has(layer, "plus")) ? "is the picture that drives its channel up most, or the patch of its strongest image where none was made; click it for more" : "is the patch of the channel\u2019s strongest image; click it for more";
const places = layer => layer.grid ? `${layer.grid[0]} \u00d7 ${layer.grid[1]} positions` : "one position";

function sheetOf(layer, units, count, small) {
  const sheet = make("ul", { class: small ? "sheet small" : "sheet" });
  for (let channel = 0; channel < count; channel++) sheet.append(make("li", {}, channelTile(layer, channel, units && units[channel], small ? "plus" : view.face)));
  return sheet;
}

function home(turn) {
  const units = about.layers.reduce((sum, layer) => sum + layer.channels, 0);
  page("", heading(about.title), about.about && make("p", { class: "lead" }, about.about), drawn(),
    facts([["Channels", `${units.toLocaleString("en")} in ${many(about.layers.length, "layer")}`],
      ["Images", many(about.images, "image") + (about.broken ? `; ${about.broken.toLocaleString("en")} more could not be read` : "")],
      ["Score of an image", POOLS[about.pool] || about.pool],
      ["A tile", tileIs()]]));
  for (const layer of about.layers) {
    const count = layer.channels > 160 ? 96 : layer.channels, holder = sheetOf(layer, null, count, true); // as high as it will be
    main.append(make("h2", {}, make("a", { href: address(layer.name) }, layer.name), make("span", { class: "soft" }, `${many(layer.channels, "channel")}, ${places(layer)}`)), holder);
    if (!has(layer, "plus")) whenNear(holder, () => load(layer.name).then(data => turn() && holder.replaceWith(sheetOf(layer, data.units, count, true)), failed));
    if (count < layer.channels) main.append(make("p", {}, make("a", { href: address(layer.name) }, `All ${many(layer.channels, "channel")}`)));
  }
}

/* Once something comes near the window, do what it needs. */
function whenNear(element, act) {
  const watch = new IntersectionObserver(([{ isIntersecting }]) => { if (isIntersecting) { watch.disconnect(); act(); } }, { rootMargin: "600px" });
  watch.observe(element);
}

function choice(name, options, chosen, choose) {
  return make("div", { class: "choice", role: "group", "aria-label": name }, ...options.map(([value, text]) =>
    make("button", { type: "button", "aria-pressed": String(value === chosen), "data-value": String(value), click: () => { choose(value); redraw(`[data-value="${value}"]`); } }, text)));
}

/* Draw the page again where it stands, and keep the focus on the control that asked for it. */
function redraw(selector) {
  const top = scrollY;
  route().then(() => { scrollTo(0, top); if (selector) main.querySelector(selector)?.focus({ preventScroll: true }); });
}

const link = (layer, text, channel) => layer ? make("a", { href: address(layer.name, channel) }, text) : null;
const crumbs = (...steps) => make("nav", { class: "crumbs", "aria-label": "Where this is" }, ...steps);

function layerPage(layer, data) {
  const place = about.layers.indexOf(layer), before = about.layers[place - 1], after = about.layers[place + 1];
  const up = has(layer, "plus"), faces = [["plus", up ? "Positive optimized" : "Strongest patch"], ["minus", has(layer, "minus") ? "Negative optimized" : "Weakest patch"], ...up ? [["image", "Strongest patch"]] : []];
  if (!faces.some(([value]) => value === view.face)) view.face = "plus";
  page(layer.name, drawn(layer), crumbs(make("a", { href: "#" }, about.title), make("span", { class: "ways" }, link(before, before && `\u2190 ${before.name}`), link(after, after && `${after.name} \u2192`))),
    heading(layer.name), facts([["Channels", String(layer.channels)], ["Place", places(layer)],
      ["Receptive field", layer.field && `${layer.field} pixels of the image's ${about.size}`], ["Warnings", layer.warnings.join("; ") || "none"]]),
    make("div", { class: "controls" }, choice("What the tiles show", faces, view.face, value => { view.face = value; })),
    sheetOf(layer, data.units, layer.channels, false));
}

function unitPage(layer, unit, channel, turn) {
  const last = layer.channels - 1, patched = unit.b.some(band => band.w.some(window => window && window[2] < SMALLER));
  const lights = unit.c > 1 && unit.a.some(band => band.some(Boolean)), views = [["whole", "Whole images"], patched && ["patch", "Patches"], lights && ["light", "Where it answered"]].filter(Boolean);
  if (!views.some(([value]) => value === view.shown)) view.shown = "whole";
  const way = (other, before, after) => other >= 0 && other <= last && make("a", { href: address(layer.name, other), class: "way", "aria-label": `channel ${other}` }, before, has(layer, "plus") && alone(layer, other, "plus", "span", {}), `channel ${other}`, after);
  page(`${layer.name} / ${channel}`, drawn(layer),
    crumbs(make("span", {}, make("a", { href: "#" }, about.title), " / ", link(layer, layer.name)), make("span", { class: "ways" }, way(channel - 1, "\u2190 ", ""), way(channel + 1, "", " \u2192"))),
    make("div", { class: "top" }, heading(layer.name, " ", make("small", {}, `channel ${channel}${called(layer, channel)}`)), tools(layer, unit, channel)), spoken(layer.name, channel),
    facts([["Images", unit.n.toLocaleString("en") + (unit.q.length / 2 < unit.n ? `; ${(unit.q.length / 2).toLocaleString("en")} of them along the scale` : "")], ["Score", POOLS[about.pool] || about.pool], ["Place", places(layer) + (layer.field ? `, each sees ${layer.field} pixels` : "")],
      ["Median and range", unit.m === null ? "none" : `${show(unit.m)}; ${show(unit.r[0])} to ${show(unit.r[1])}`]]),
    !has(layer, "plus") && about.layers.some(each => has(each, "plus")) && make("p", { class: "soft" }, `No picture was optimized for a channel of this layer${about.grow ? "; the lab grows one" : ""}.`),
    ...unit.f.map(text => make("p", { class: "note" }, `${text[0].toUpperCase()}${text.slice(1)}.`)),
    views.length > 1 && make("div", { class: "controls" }, choice("What the columns show", views, view.shown, value => { view.shown = value; }), make("span", {}, VIEWS[view.shown](patched))),
    columns(layer, unit, channel), make("h2", {}, "All scores"), histogram(layer, unit, channel), !unit.dead && about.sample.length > 20 && tenths(unit),
    unit.labels && shown(unit), unit.cues && left(unit), unit.classes && outputs(layer, unit), neighbors(unit, turn));
}

const VIEWS = {
  whole: patched => patched ? "Point at an image for a frame around what the channel saw where it was most extreme" : "",
  patch: () => "What the channel saw where it was most extreme",
  light: () => "Light where the channel was highest in this image, in the column Minimum where it was lowest; each image from its own lowest to its own highest value",
};

/* ---- search ---- */

function search(text) {
  const words = text.trim().split(/[\s/:]+/).filter(Boolean);
  const layer = about.layers.find(each => each.name.toLowerCase() === (words[0] || "").toLowerCase());
  if (!words.length) return;
  if (layer && words.length === 1) location.hash = address(layer.name);
  else if (layer && words.length === 2 && Number(words[1]) < layer.channels) location.hash = address(layer.name, Number(words[1]));
  else location.hash = `#?${encodeURIComponent(text.trim())}`;
}

/* Which of the names are meant: whole words, or else beginnings of words, or else parts. A car is no carrot. */
function matching(names, query) {
  const tries = [[" ", " "], [" ", ""], ["", ""]].map(([before, behind]) =>
    new Set(names.flatMap((name, index) => ` ${name.toLowerCase()} `.includes(before + query + behind) ? [index] : [])));
  return tries.find(found => found.size) || tries[0];
}

async function results(text, turn) {
  const query = text.toLowerCase(), number = /^\d+$/.test(text) ? Number(text) : null;
  const named = matching(about.names, query), tagged = matching(about.tags || [], query);
  const meant = place => named.has(about.labels[place]) || tagged.size > 0 && about.tagged[place].some(tag => tagged.has(tag));
  const found = { up: [], down: [] }, numbered = [], masked = [];
  for (const layer of about.layers) {
    const data = await load(layer.name);
    data.units.forEach((unit, channel) => {
      for (const [side, end] of [["up", 1], ["down", 0]]) {
        const hits = unit.i[end].filter(meant).length;
        if (hits) found[side].push([hits, layer, channel, unit, end]);
      }
    });
    data.units.forEach((unit, channel) => { if (unit.l && unit.l.toLowerCase().includes(query)) masked.push([layer, channel, unit]); });
    (layer.called || []).forEach((name, channel) => { if (name.toLowerCase().includes(query)) numbered.push([layer, channel, data.units[channel]]); });
    if (number !== null && number < data.units.length) numbered.push([layer, number, data.units[number]]);
  }
  if (!turn()) return;
  const layers = about.layers.filter(layer => layer.name.toLowerCase().includes(query));
  const groups = [["up", "Among their strongest images", "Channels that such images drive up most, and how many of their strongest these are."], ["down", "Among their weakest images", "Channels that such images drive down most, and how many of their weakest these are."]];
  page(text, crumbs(make("a", { href: "#" }, about.title)), heading(`\u201c${text}\u201d`),
    layers.length > 0 && make("p", {}, "Layers: ", ...layers.flatMap((layer, index) => [index ? ", " : "", link(layer, layer.name)])),
    tagged.size > 0 && make("p", {}, `Objects: ${[...tagged].map(index => about.tags[index]).join(", ")}`),
    numbered.length > 0 && tiles(number === null ? "Channels of this name" : `Channel ${number}`, "", numbered.slice(0, 48).map(([layer, channel, unit]) =>
      [channelTile(layer, channel, unit), `${layer.name}${called(layer, channel)}`])),
    masked.length > 0 && tiles("Strongest on it", "Channels whose strongest places show this label more than any other, and more than by chance.", masked.map(([layer, channel, unit]) => [channelTile(layer, channel, unit), layer.name])),
    ...groups.filter(([side]) => found[side].length).map(([side, title, note]) => tiles(title, note, found[side].sort((one, other) => other[0] - one[0]).slice(0, 48)
      .map(([hits, layer, channel, unit, end]) => [channelTile(layer, channel, unit, end ? "plus" : "minus"), `${hits} of ${unit.i[end].length}, ${layer.name}`]))),
    !layers.length && !numbered.length && !masked.length && !found.up.length && !found.down.length && make("p", {}, "No layer has this name, and no image with such a label is among the extremes of a channel. The labels are: ",
      about.names.slice(0, 40).join(", "), about.names.length > 40 ? ", \u2026" : ""));
}

const tiles = (title, note, entries) => make("section", {}, make("h2", {}, title, make("span", { class: "soft" }, note)),
  make("ul", { class: "sheet" }, ...entries.map(([tile, text]) => make("li", { class: "soft", style: "font-size:12px" }, tile, text))));

/* ---- where one is, and where one goes ---- */

function failed(error) { page("", heading("Something is missing"), make("p", { class: "note" }, error.message)); }

function here() {
  const decode = part => { try { return decodeURIComponent(part); } catch { return part; } };
  const hash = location.hash.slice(1);
  if (hash.startsWith("?")) return { query: decode(hash.slice(1)) };
  const [name, channel] = hash.split("/").map(decode);
  return { layer: about.layers.find(each => each.name === name), name, channel: channel === undefined ? null : Number(channel) };
}

async function route() {
  const own = ++turns, turn = () => own === turns, { query, layer, name, channel } = here();
  if (query !== undefined) return results(query, turn).catch(failed);
  if (!name) return home(turn);
  if (!layer || (channel !== null && !(Number.isInteger(channel) && channel >= 0 && channel < layer.channels)))
    return page("Nothing there", heading("Nothing there"), make("p", {}, `This site has no ${name}${channel === null ? "" : `, channel ${channel}`}. `, make("a", { href: "#" }, "All layers")));
  if (channel === null) return load(name).then(data => turn() && layerPage(layer, data)).catch(failed);
  return detail(layer, channel).then(unit => turn() && unitPage(layer, unit, channel, turn)).catch(failed);
}

function move(step, other) {
  const { layer, channel } = here(), next = about.layers[about.layers.indexOf(layer) + step];
  if (channel !== null && !other) location.hash = address(layer.name, Math.min(Math.max(channel + step, 0), layer.channels - 1));
  else if (next) location.hash = address(next.name, channel === null ? undefined : Math.min(channel, next.channels - 1));
}

function key(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog")) return;
  if (event.target === field) { if (event.key === "Escape") { field.value = ""; main.querySelector("h1").focus(); } return; }
  if (event.target.type === "range" && event.key !== "/" && event.key !== "Escape") return;
  const { layer, channel, query } = here(), step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (step && layer) { event.preventDefault(); move(step, event.shiftKey); }
  else if (event.key === "/") { event.preventDefault(); field.focus(); }
  else if (event.key.toLowerCase() === "p" && layer && channel !== null) { view.shown = view.shown === "patch" ? "whole" : "patch"; redraw(); }
  else if (event.key.toLowerCase() === "l" && layer && channel !== null) { view.shown = view.shown === "light" ? "whole" : "light"; redraw(); }
  else if (event.key === "Escape" && (layer || query)) location.hash = layer && channel !== null ? address(layer.name) : "#";
}

/* A finger that goes far to the side, and hardly up or down, leads to the neighboring channel or layer; not where something
   moves to the side itself. */
function swipes() {
  let from = null;
  main.addEventListener("touchstart", ({ touches, target }) => {
    const own = target.closest(".plot, .scrubber, .route, input, dialog, select");
    from = touches.length === 1 && !own && (visualViewport?.scale ?? 1) < 1.05 ? touches[0] : null;
  }, { passive: true });
  main.addEventListener("touchend", ({ changedTouches: [to] }) => {
    if (!from || !here().layer) return;
    const across = to.clientX - from.clientX, along = to.clientY - from.clientY;
    from = null;
    if (Math.abs(across) > 70 && Math.abs(across) > 3 * Math.abs(along)) move(across < 0 ? 1 : -1, false);
  }, { passive: true });
}

function chooseTheme() {
  const root = document.documentElement, modes = ["auto", "light", "dark"], button = document.querySelector("header .theme");
  const set = mode => {
    if (mode === "auto") delete root.dataset.theme; else root.dataset.theme = mode;
    button.textContent = `Colors: ${mode}`; // the words of the book
    button.setAttribute("aria-label", `Colors: ${mode}. Press to change.`);
  };
  button.hidden = false;
  set(root.dataset.theme || "auto");
  button.addEventListener("click", () => {
    const mode = modes[(modes.indexOf(root.dataset.theme || "auto") + 1) % 3];
    try { localStorage.setItem("theme", mode === "auto" ? "" : mode); } catch { /* the choice holds for this page */ }
    set(mode);
  });
}

function start() {
  const back = document.querySelector(".bar .back");
  document.querySelector(".bar .home").textContent = about.title;
  if (about.links?.length) document.querySelector(".foot").prepend(make("p", { class: "on" }, ...about.links.map(([text, where]) => make("a", { href: where }, text))));
  if (about.credit) document.querySelector(".foot").append(make("p", {}, about.credit));
  if (about.back) {
    back.replaceChildren(make("span", {}, about.back[0])); // on a phone an arrow stands for the words
    Object.assign(back, { href: about.back[1], title: about.back[0], hidden: false });
    back.setAttribute("aria-label", about.back[0]);
  }
  document.querySelector("datalist").append(...[...about.layers.map(layer => layer.name), ...about.names].slice(0, 2000).map(value => make("option", { value })));
  addEventListener("hashchange", route);
  document.querySelector("form").addEventListener("submit", event => { event.preventDefault(); search(field.value); });
  document.querySelector(".skip").addEventListener("click", event => { event.preventDefault(); main.querySelector("h1").focus(); });
  document.addEventListener("keydown", key);
  swipes();
  route();
}

chooseTheme();
script("data/index.js", () => { main.replaceChildren(heading("Something is missing"), make("p", {}, "The folder data has to lie beside this page.")); });
