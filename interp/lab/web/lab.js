// The lab's page. Nothing heavy is asked for before the first click; all computing is the engine's (engine.js), in a
// worker where there are some. `plan` comes from plan.js, the functions of a photograph from photograph.js.
"use strict";
(() => {
  const ACROSS = plan.across, PLACES = ACROSS ** 2, TENTH = Math.max(1, Math.round(PLACES / 10)), DRAWS = 8, SHOWN = 8;
  const GROWN = Math.min(128, 2 ** Math.floor(Math.log2(plan.side))); // the side of a picture that grows
  const $ = selector => document.querySelector(selector), side = plan.side, exact = plan.last !== ""; // whether there are exact maps
  const state = { pixels: null, logits: null, maps: null, target: 0, kind: exact ? "map" : "saliency", place: null, off: [], name: "", guess: null, view: "" };
  let engine = null, busy = false;

  /* ---- small helpers ---- */

  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) {
      if (typeof value === "function") element.addEventListener(key, value);
      else if (value !== null && value !== undefined && value !== false) element.setAttribute(key, value);
    }
    element.append(...children);
    return element;
  }
  const tell = (words, bad = false) => { $(".status").textContent = words; $(".status").classList.toggle("bad", bad); };
  const signed = (value, digits = 2) => `${value < 0 ? "\u2212" : "+"}${Math.abs(value).toFixed(digits)}`;
  const number = (value, digits = 2) => `${value < 0 ? "\u2212" : ""}${Math.abs(value).toFixed(digits)}`;
  const order = values => [...values.keys()].sort((a, b) => values[b] - values[a]);
  const shares = logits => { if (logits.length === 1) return [1 / (1 + Math.exp(-logits[0]))]; const most = Math.max(...logits), all = logits.map(value => Math.exp(value - most)), sum = all.reduce((a, b) => a + b, 0); return all.map(value => value / sum); };
  const inWords = count => ["none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"][count] ?? String(count), tenth = inWords(TENTH);
  const percent = share => share >= 0.995 ? "99+ %" : share < 0.005 ? "<1 %" : `${Math.round(100 * share)} %`;

  /* ---- the engine: in a worker made of its own text, or here ---- */

  function startEngine() {
    const waiting = new Map();
    let count = 0, send;
    const receive = ({ data }) => {
      const { done, fail, progress } = waiting.get(data.id);
      if (data.progress) { progress(data.progress); return; }
      waiting.delete(data.id);
      if (data.error) fail(new Error(data.error)); else done(data.result);
    };
    try {
      const address = URL.createObjectURL(new Blob([`"use strict"; (${labEngine})(self);`], { type: "text/javascript" }));
      const worker = new Worker(address);
      worker.onmessage = receive;
      worker.onerror = event => { for (const { fail } of waiting.values()) fail(new Error(event.message || "The worker stopped.")); waiting.clear(); };
      send = message => worker.postMessage(message, message.weights ? [message.weights] : []);
    } catch { // no worker: the page stands still while the network computes
      const scope = { postMessage: data => receive({ data }) };
      labEngine(scope);
      send = message => setTimeout(() => scope.onmessage({ data: message }), 20);
    }
    return (job, data = {}, progress = () => {}) => new Promise((done, fail) => { waiting.set(++count, { done, fail, progress }); send({ id: count, job, ...data }); });
  }

  /* ---- the weights: asked for once, checked, kept ---- */

  const file = `weights-${plan.sha256.slice(0, 16)}.bin.gz`, kept = "lab";
  const unpack = async bytes => bytes[0] === 0x1f && bytes[1] === 0x8b // a server may have unpacked it already
    ? new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer()) : bytes;

  async function checked(packed) {
    let bytes;
    try { bytes = await unpack(packed); } catch { throw new Error("The weights arrived damaged. Load them again."); }
    if (bytes.length !== plan.count * 2) throw new Error(`The weights are ${bytes.length} bytes long, not ${plan.count * 2}. Load them again.`);
    if (crypto.subtle) { // absent on pages that came over plain http from elsewhere; gzip's own check remains
      const digest = [...new Uint8Array(await crypto.subtle.digest("SHA-256", bytes))].map(byte => byte.toString(16).padStart(2, "0")).join("");
      if (digest !== plan.sha256) throw new Error("The weights are not those of this page. Load them again.");
    }
    return bytes;
  }

  async function weights(signal, progress) {
    if (location.protocol === "file:") return checked(decoded(await script("weights.js", "labWeights")));
    const cache = await globalThis.caches?.open(kept).catch(() => null), hit = await cache?.match(file);
    if (hit) { try { return await checked(new Uint8Array(await hit.arrayBuffer())); } catch { await cache.delete(file); } }
    const answer = await fetch(file, { signal });
    if (!answer.ok) throw new Error(`The weights could not be loaded (${answer.status}).`);
    const parts = [], reader = answer.body.getReader();
    for (let got = 0, part; !(part = await reader.read()).done;) { parts.push(part.value); got += part.value.length; progress(Math.min(1, got / plan.packed)); }
    const packed = new Uint8Array(await new Blob(parts).arrayBuffer()), bytes = await checked(packed);
    for (const old of await cache?.keys() ?? []) if (new URL(".", old.url).href === new URL(".", location.href).href) await cache.delete(old); // not those of another lab
    await cache?.put(file, new Response(packed)).catch(() => { /* no room: it is loaded again next time */ });
    return bytes;
  }

  /* A page that is opened from a folder may fetch nothing, but it may load a script. */
  const script = (src, name) => globalThis[name] !== undefined ? Promise.resolve(globalThis[name]) : new Promise((done, fail) =>
    document.head.append(make("script", { src, error: () => fail(new Error(`${src} is not beside this page.`)), load: () => done(globalThis[name]) })));
  function decoded(text) { // a megabyte after the other: a large network has a third of a gigabyte of it
    const bytes = new Uint8Array(text.length / 4 * 3 - (text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0)), some = 2 ** 20;
    for (let first = 0, at = 0; first < text.length; first += some) {
      const part = atob(text.slice(first, first + some));
      for (let n = 0; n < part.length; n++) bytes[at++] = part.charCodeAt(n);
    }
    return bytes;
  }

  /* Nor may it read the pixels of a picture that is a file beside it. */
  const example = async picture => location.protocol === "file:"
    ? new Blob([decoded((await script("examples.js", "labExamples"))[picture.closest(".example").id])], { type: "image/webp" }) : picture;

  async function load() {
    const stop = new AbortController(), bar = $(".progress"), button = $(".load"), cancel = $(".cancel");
    const show = on => { bar.hidden = cancel.hidden = !on; button.disabled = on; };
    cancel.onclick = () => stop.abort();
    show(true);
    tell("Loading the network.");
    try {
      const bytes = await weights(stop.signal, share => { bar.value = share; });
      if (stop.signal.aborted) throw new DOMException("", "AbortError");
      engine = startEngine();
      const { fast } = await engine("load", { plan, kernels: decoded(plan.kernels), weights: bytes.buffer });
      $(".start").hidden = true;
      $(".own").hidden = false;
      $(".grow").hidden = !growable.length;
      document.querySelectorAll(".example button").forEach(one => { one.hidden = false; });
      tell(`The network is here. Choose a picture.${fast ? "" : " This browser has no WebAssembly with SIMD: it takes seconds instead of tenths."}${canvasIsNoisy() ? " This browser puts noise into pictures that a page reads: the network sees the noise too." : ""}`);
      fromAddress();
    } catch (error) {
      engine = null;
      const ended = error.name === "AbortError";
      tell(ended ? "Cancelled." : `${error.message}`, !ended);
      button.textContent = ended ? button.textContent : "Try again";
      show(false);
      return;
    }
    show(false);
  }

  /* ---- one job after the other ---- */

  const wishes = []; // while another is worked on: the last of each kind, and none from before the last photograph

  async function work(words, job, kind = words || job) {
    if (!engine) return;
    if (busy) {
      await new Promise(done => {
        for (const one of wishes.splice(0)) if (kind === LOOKING || kind === one.kind) one.done(); else wishes.push(one);
        wishes.push({ words, job, kind, done });
      });
      return;
    }
    busy = true;
    document.body.setAttribute("aria-busy", "true");
    if (words) tell(words);
    try { await job(); } catch (error) { tell(error.message, true); }
    busy = false;
    document.body.removeAttribute("aria-busy");
    const next = wishes.shift();
    if (next) work(next.words, next.job, next.kind).then(next.done);
  }

  const LOOKING = "Looking.";
  let asked = 0; // photographs and addresses so far

  function look(source, name) {
    asked++;
    engine?.("halt"); // a picture that grows would let it wait for seconds
    return work(LOOKING, () => seen(source, name));
  }

  async function seen(source, name) {
    const pixels = await readPhotograph(source instanceof HTMLImageElement ? await example(source) : source, side), began = performance.now();
    Object.assign(state, { pixels, name, off: [], place: null }, await engine("look", { pixels }));
    const took = performance.now() - began;
    state.target = order(state.logits)[0];
    state.guess = exact && $(".first input").checked ? new Set() : null;
    document.querySelectorAll(".guessed").forEach(cell => cell.classList.remove("guessed"));
    $(".work").hidden = false;
    drawPhotograph($(".picture"), pixels);
    forget();
    await drawAll();
    tell(`${plan.classes[state.target]}, ${percent(shares(state.logits)[state.target])}. Computed in ${Math.round(took)} ms.`);
    toAddress();
  }

  /* ---- drawing ---- */

  function drawPhotograph(canvas, pixels) {
    const side = Math.sqrt(pixels.length / 3);
    Object.assign(canvas, { width: side, height: side });
    const context = canvas.getContext("2d"), picture = context.createImageData(side, side);
    for (let n = 0; n < side ** 2; n++) {
      for (let color = 0; color < 3; color++) picture.data[4 * n + color] = Math.round(255 * pixels[color * side ** 2 + n]);
      picture.data[4 * n + 3] = 255;
    }
    context.putImageData(picture, 0, 0);
  }

  const mapOf = target => state.maps.subarray(target * PLACES, (target + 1) * PLACES);

  /* Between the middles of the places linear, beyond them constant. */
  function enlarged(map, across) {
    const out = new Float32Array(side ** 2), at = n => { const x = Math.min(Math.max((n + 0.5) * across / side - 0.5, 0), across - 1), low = Math.min(Math.floor(x), across - 2); return [low, x - low]; };
    for (let row = 0; row < side; row++) for (let column = 0, [y, down] = at(row); column < side; column++) {
      const [x, right] = at(column), value = (a, b) => map[(y + a) * across + x + b];
      out[row * side + column] = (1 - down) * ((1 - right) * value(0, 0) + right * value(0, 1)) + down * ((1 - right) * value(1, 0) + right * value(1, 1));
    }
    return out;
  }

  function color(share) {
    const stops = plan.colors, place = Math.min(Math.max(share, 0), 1) * (stops.length - 1), low = Math.min(Math.floor(place), stops.length - 2);
    return stops[low].map((value, n) => value + (place - low) * (stops[low + 1][n] - value));
  }

  async function drawMap() {
    const ofPlaces = state.kind === "map", slopes = (await engine("saliency", { target: state.target })).map;
    const map = ofPlaces ? enlarged(mapOf(state.target), ACROSS) : slopes;
    const sorted = ofPlaces ? null : Float32Array.from(map).sort();
    const most = ofPlaces ? Math.max(...mapOf(state.target), 1e-9) : sorted[Math.floor(0.995 * sorted.length)] || 1e-9;
    const context = $(".heat").getContext("2d"), picture = context.createImageData(side, side);
    map.forEach((value, n) => { picture.data.set([...color(value / most), 255], 4 * n); });
    context.putImageData(picture, 0, 0);
    $(".heat").style.opacity = $(".opacity").value;
    drawOutline(map, most / 2);
    $(".heat").hidden = $(".scale").hidden = $(".about").hidden = state.guess !== null;
    $(".guess").hidden = state.guess === null;
    $(".seen").classList.toggle("guessing", state.guess !== null);
    $(".most").textContent = ofPlaces ? signed(most) : most.toPrecision(2);
    const name = plan.classes[state.target], mean = ofPlaces ? mapOf(state.target).reduce((sum, value) => sum + value, 0) / PLACES : 0, bias = state.logits[state.target] - mean;
    $(".about").textContent = ofPlaces ? `${name}: the mean of the map is ${number(mean)}; with the bias ${signed(bias)} that is the logit, ${number(state.logits[state.target])}. Evidence against the class is shown as 0.`
      : `${name}: how much the logit changes with a color of each pixel (the largest of three; yellow is the top half percent).`;
    if (!exact) return;
    const other = ofPlaces ? `Beside it: saliency for ${name}, how much the logit changes with a color of each pixel.` : `Beside it: the evidence for ${name} at each of ${PLACES} places.`;
    drawCells($(".other canvas"), ofPlaces ? slopes : mapOf(state.target), ofPlaces ? side : ACROSS);
    $(".other canvas").setAttribute("aria-label", other);
    $(".other figcaption").textContent = other;
    $(".other").hidden = state.guess !== null;
    const hot = order(mapOf(state.target))[0];
    $(".heat").parentElement.setAttribute("aria-label", `Most evidence for ${name} in row ${Math.floor(hot / ACROSS) + 1}, column ${hot % ACROSS + 1}`);
  }

  /* White, with black around it, so that it is seen on every photograph. */
  function drawOutline(map, level) {
    $(".outline").hidden = state.guess !== null || !$(".outlined").checked;
    const context = $(".outline").getContext("2d"), around = [[-1, 0], [1, 0], [0, -1], [0, 1]];
    const inside = (row, column) => row >= 0 && column >= 0 && row < side && column < side && map[row * side + column] >= level;
    context.clearRect(0, 0, side, side);
    const edge = [...map.keys()].filter(n => { const [row, column] = [Math.floor(n / side), n % side]; return inside(row, column) && !around.every(([down, right]) => inside(row + down, column + right)); });
    for (const [ink, reach] of [["#000", 1.5], ["#fff", 0.5]]) {
      context.fillStyle = ink;
      for (const n of edge) context.fillRect(n % side + 0.5 - reach, Math.floor(n / side) + 0.5 - reach, 2 * reach, 2 * reach);
    }
  }

  function drawTop() {
    const share = shares(state.logits);
    renew($(".top"), order(state.logits).slice(0, 5).map(index => {
      const bar = make("i"), button = make("button", { type: "button", "aria-pressed": String(index === state.target), click: () => choose(index) }, bar,
        make("span", {}, plan.classes[index]), make("span", {}, percent(share[index])));
      bar.style.width = `${100 * share[index]}%`;
      return make("li", {}, button);
    }));
  }

  /* Other children, and the focus on the button that stands where the one with the focus stood. */
  function renew(parent, children) {
    const buttons = () => [...parent.querySelectorAll("button")], at = buttons().indexOf(document.activeElement);
    parent.replaceChildren(...children);
    buttons()[at]?.focus({ preventScroll: true });
  }

  async function drawAll() { drawTop(); await drawMap(); await drawPlace(); drawOff(); await drawDepth(); }

  const choose = index => work("", async () => { state.target = index; forget(); await drawAll(); tell(`Map of ${plan.classes[index]}.`); toAddress(); }, "class");

  function forget() { for (const part of document.querySelectorAll(".erased, .test .pair, .curves, .shuffled")) part.hidden = true; state.view = ""; }

  /* ---- erasing ---- */

  function erased(places) {
    const pixels = state.pixels.slice(), edge = n => Math.round(n * side / ACROSS), area = side ** 2;
    for (let channel = 0; channel < 3; channel++) {
      const mean = state.pixels.subarray(channel * area, (channel + 1) * area).reduce((sum, value) => sum + value, 0) / area;
      for (const place of places) {
        const top = Math.floor(place / ACROSS), left = place % ACROSS;
        for (let row = edge(top); row < edge(top + 1); row++) pixels.fill(mean, channel * area + row * side + edge(left), channel * area + row * side + edge(left + 1));
      }
    }
    return pixels;
  }

  const compare = () => work("Erasing.", async () => {
    const target = state.target, before = state.logits[target], places = order(mapOf(target)), next = randomNumbers(1).uniform;
    const score = async some => { const pixels = erased(some); return { pixels, logit: (await engine("score", { pixels })).logits[target] }; };
    const hot = await score(places.slice(0, TENTH)), cold = await score(places.slice(-TENTH)), chance = [];
    for (let n = 0; n < DRAWS; n++) chance.push((await score(order(Array.from({ length: PLACES }, next)).slice(0, TENTH))).logit);
    const mean = chance.reduce((sum, value) => sum + value, 0) / DRAWS, span = `, ${signed(Math.min(...chance) - before)} to ${signed(Math.max(...chance) - before)}`;
    const row = (name, value, more = "") => make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, number(value)), make("td", {}, `${signed(value - before)}${more}`));
    $(".erased tbody").replaceChildren(make("tr", {}, make("th", { scope: "row" }, "nothing"), make("td", {}, number(before)), make("td", {}, "")),
      row(`the hottest ${tenth}`, hot.logit), row(`the coldest ${tenth}`, cold.logit), row(`${tenth} by chance, ${DRAWS} draws`, mean, span));
    $(".test .pair").replaceChildren(...[[`the hottest ${tenth} erased`, hot], [`the coldest ${tenth} erased`, cold]].map(([words, one]) => {
      const canvas = make("canvas", { width: side, height: side, role: "img", "aria-label": `The photograph with ${words}` });
      drawPhotograph(canvas, one.pixels);
      return make("figure", {}, canvas, make("figcaption", {}, words));
    }));
    $(".erased").hidden = $(".test .pair").hidden = false;
    viewed("erase");
    tell(`${plan.classes[target]}: ${signed(hot.logit - before)} without the hottest ${tenth} places, ${signed(cold.logit - before)} without the coldest, ${signed(mean - before)} without ${tenth} by chance.`);
  });

  /* The logit while more and more places are erased, in the order of the map, of saliency, and by chance. */
  const COUNTS = [...Array.from({ length: Math.ceil(PLACES / TENTH) }, (_, n) => n * TENTH), PLACES], SHUFFLES = 4;

  const deletion = () => work("Erasing more and more.", async () => {
    const target = state.target, each = side / ACROSS, { map: slopes } = await engine("saliency", { target }), pooled = new Float64Array(PLACES), next = randomNumbers(2).uniform;
    slopes.forEach((value, n) => { pooled[Math.floor(Math.floor(n / side) / each) * ACROSS + Math.floor(n % side / each)] += value; });
    const score = async places => (await engine("score", { pixels: erased(places) })).logits[target];
    const along = async places => { const found = []; for (const count of COUNTS) found.push(await score(places.slice(0, count))); return found; };
    const curves = [["map", await along(order(mapOf(target)))], ["saliency", await along(order(pooled))]], draws = [];
    for (let n = 0; n < SHUFFLES; n++) { draws.push(await along(order(Array.from({ length: PLACES }, next)))); tell(`Erasing by chance, ${n + 1} of ${SHUFFLES}.`); }
    curves.push(["chance", COUNTS.map((_, n) => draws.reduce((sum, one) => sum + one[n], 0) / SHUFFLES)]);
    const mean = values => values.reduce((sum, value) => sum + value, 0) / values.length;
    const words = curves.map(([name, values]) => `${name} ${number(mean(values))}`).join(", ");
    $(".curves").replaceChildren(plotted(curves, `Logit of ${plan.classes[target]} while places are erased; mean over the curve: ${words}`),
      make("figcaption", {}, `Logit of ${plan.classes[target]} from nothing erased (left) to everything (right). Mean over the curve, where lower means that the order finds the evidence earlier: ${words} (mean of ${SHUFFLES} orders).`));
    $(".curves").hidden = false;
    viewed("delete");
    tell(`Mean logit over the curve: ${words}.`);
  });

  /* ---- maps of a network that has forgotten, beside what a little noise in the photograph does ---- */

  const NOISE = 0.02, FORGOTTEN = 3;

  /* Spearman's correlation of two lists, ties in the order in which they stand. */
  function rankCorrelation(first, second) {
    const ranks = values => { const found = new Float64Array(values.length); [...values.keys()].sort((a, b) => values[a] - values[b]).forEach((n, rank) => { found[n] = rank; }); return found; };
    const [a, b] = [ranks(first), ranks(second)], count = a.length;
    return 1 - 6 * a.reduce((sum, rank, n) => sum + (rank - b[n]) ** 2, 0) / (count * (count ** 2 - 1));
  }

  const shuffle = () => work("Shuffling the weights of the last block.", async () => {
    const { target } = state, { normal } = randomNumbers(3), grain = state.pixels.map(value => Math.min(Math.max(value + NOISE * normal(), 0), 1));
    const plain = await engine("views", { target }), noisy = await engine("views", { target, pixels: grain }), others = [];
    for (let seed = 0; seed < FORGOTTEN; seed++) others.push(await engine("views", { target, seed }));
    const kinds = [["evidence", "map", ACROSS], ["saliency", "saliency", side]], span = values => `${number(Math.min(...values))} to ${number(Math.max(...values))}`;
    const said = kinds.map(([name, key]) => [name, rankCorrelation(plain[key], noisy[key]), others.map(one => rankCorrelation(plain[key], one[key]))]);
    $(".shuffled").replaceChildren(...kinds.map(([name, key, across]) => make("div", { class: "pair" }, ...[["as it is", plain], ["a little noise", noisy], ["last block shuffled", others[0]]].map(([words, one]) => {
      const canvas = make("canvas", { role: "img", "aria-label": `${name}, ${words}` });
      drawCells(canvas, one[key], across);
      return make("figure", {}, canvas, make("figcaption", {}, `${name}, ${words}`));
    }))), make("figcaption", {}, ...said.map(([name, floor, found]) => `Rank correlation of the map of ${name} with itself: ${number(floor)} after noise that hardly shows (${NOISE} of the range from black to white), ${span(found)} with the weights of the last block shuffled (${FORGOTTEN} times). `),
      "A map that stays as it is although the network has forgotten is no picture of what the network knows; one that changes no more than by noise tells nothing either way."));
    $(".shuffled").hidden = false;
    viewed("shuffle");
    tell(said.map(([name, floor, found]) => `${name}: ${number(floor)} after noise, ${span(found)} after shuffling`).join("; ") + ".");
  });

  /* A map in its own places, from 0 to its largest value (its highest half percent where there are many). */
  function drawCells(canvas, map, across) {
    const most = Float64Array.from(map).sort()[Math.floor((map.length > PLACES ** 2 ? 0.995 : 1) * (map.length - 1))] || 1e-9;
    Object.assign(canvas, { width: across, height: across });
    const context = canvas.getContext("2d"), picture = context.createImageData(across, across);
    map.forEach((value, n) => picture.data.set([...color(value / most), 255], 4 * n));
    context.putImageData(picture, 0, 0);
    return most;
  }

  /* ---- through the depth ---- */

  const depths = plan.depths;

  async function drawDepth() {
    if (!engine || !state.pixels || !depths.length) return;
    const layer = depths[+$(".layer").value], { target } = state, name = plan.classes[target];
    const { side: across, channels, size, evidence } = await engine("depth", { layer, target }), words = [`${layer}: size of the answers`, `gradient × activation for ${name}`];
    for (const [canvas, map, said] of [[$(".size"), size, words[0]], [$(".toward"), evidence, words[1]]]) {
      drawCells(canvas, map, across);
      canvas.setAttribute("aria-label", said);
      canvas.nextElementSibling.textContent = said;
    }
    $(".layer").setAttribute("aria-valuetext", layer);
    $(".at").textContent = `${layer}, ${+$(".layer").value + 1} of ${depths.length}: ${channels} channels of ${across} × ${across} places. Left the root mean square over the channels, right their sum of gradient × activation, a first approximation; what is below 0 is shown as 0.`;
  }

  let walking = false;
  async function walk() {
    walking = !walking;
    $(".walk").textContent = walking ? "Stop" : "Walk through";
    for (let n = +$(".layer").value === depths.length - 1 ? 0 : +$(".layer").value; walking && n < depths.length; n++) {
      if (busy) break; // something else was asked for
      $(".layer").value = n;
      await work("", drawDepth);
      await new Promise(done => setTimeout(done, 450));
    }
    walking = false;
    $(".walk").textContent = "Walk through";
    viewed("depth");
  }

  function plotted(curves, words) {
    const svg = (tag, attributes, ...children) => { const element = document.createElementNS("http://www.w3.org/2000/svg", tag); for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value); element.append(...children); return element; };
    const all = curves.flatMap(([, values]) => values), low = Math.min(...all, 0), high = Math.max(...all), [wide, tall] = [440, 200];
    const at = (count, value) => [40 + (wide - 110) * count / PLACES, 12 + (tall - 24) * (high - value) / (high - low || 1)].map(one => one.toFixed(1));
    const level = value => [svg("line", { x1: 40, x2: wide - 70, y1: at(0, value)[1], y2: at(0, value)[1], class: "level" }), svg("text", { x: 34, y: +at(0, value)[1] + 4, "text-anchor": "end" }, number(value, 1))];
    const ends = curves.map(([, values], n) => ({ n, y: +at(PLACES, values.at(-3))[1] })).sort((a, b) => a.y - b.y);
    ends.forEach((end, n) => { if (n) end.y = Math.max(end.y, ends[n - 1].y + 15); });
    ends.reverse().forEach((end, n) => { end.y = Math.min(end.y, n ? ends[n - 1].y - 15 : tall - 8); });
    const lines = curves.map(([name, values]) => svg("polyline", { class: `curve ${name}`, points: values.map((value, n) => at(COUNTS[n], value).join()).join(" ") }));
    return svg("svg", { viewBox: `0 0 ${wide} ${tall}`, role: "img", "aria-label": words }, ...[high, low].flatMap(level), ...lines,
      ...ends.map(({ n, y }) => svg("text", { x: wide - 62, y: y + 4, class: `label ${curves[n][0]}` }, curves[n][0])));
  }

  /* ---- channels ---- */

  async function drawPlace() {
    document.querySelectorAll(".cells button").forEach((button, n) => { button.setAttribute("aria-selected", String(state.guess?.has(n) ?? n === state.place)); button.tabIndex = n === (state.place ?? 0) ? 0 : -1; });
    $(".channels").hidden = $(".units").hidden = state.place === null;
    $(".rest").textContent = "";
    if (state.place === null) return;
    const { target, place } = state, { best, sum, against } = await engine("parts", { target, place, count: SHOWN });
    const withScenes = scenesOf(plan.last) !== null;
    document.querySelectorAll(".with-scenes").forEach(one => { one.hidden = !plan.scenes; });
    $(".channels .with-scenes").hidden = !withScenes;
    renew($(".channels tbody"), best.map(({ channel, share }) => make("tr", {}, make("th", { scope: "row" }, String(channel)), make("td", {}, signed(share)),
      ...(withScenes ? [make("td", {}, make("div", { class: "scenes" }, ...scenes(plan.last, channel)))] : []),
      make("td", {}, make("div", { class: "buttons" }, make("button", { type: "button", "aria-label": `Switch channel ${channel} off`, click: () => toggle(channel) }, "Switch off"),
        make("button", { type: "button", "aria-label": `Grow a picture for channel ${channel}`, hidden: computed ? null : "hidden", click: () => growFor(plan.last, channel) }, "Grow"))))));
    const named = best.reduce((all, one) => all + one.share, 0);
    $(".rest").textContent = `Row ${Math.floor(place / ACROSS) + 1}, column ${place % ACROSS + 1}, ${plan.classes[target]}: all channels together add ${signed(sum)} here, these ${SHOWN} ${signed(named)}, those that speak against it ${signed(against)}.`;
    if (!plan.units) { $(".units").hidden = true; return; }
    const found = await engine("units", { target, place, layer: plan.units.layer, count: 6 });
    $(".units .tiles").replaceChildren(...found.best.map(({ channel, share }) => {
      const words = `channel ${channel}, ${signed(share)}`, tile = make("span", { class: "tile", role: "img", "aria-label": `Optimized for channel ${channel}` }), { columns, count } = plan.units, rows = Math.ceil(count / columns);
      Object.assign(tile.style, { backgroundImage: `url("${plan.units.sheet}")`, backgroundSize: `${100 * columns}% ${100 * rows}%`,
        backgroundPosition: `${100 * (channel % columns) / (columns - 1)}% ${100 * Math.floor(channel / columns) / (rows - 1)}%` });
      return make("li", {}, make("a", { href: `${plan.units.pages}${channel}` }, tile, ...scenes(plan.units.layer, channel), make("span", {}, words)));
    }));
  }

  /* The pictures that drive a channel most, where the page knows some. */
  const scenesOf = layer => plan.scenes?.best[layer] ?? null;
  const scenes = (layer, channel) => (scenesOf(layer)?.[channel] ?? []).map((which, n) =>
    make("img", { src: `${plan.scenes.folder}${plan.scenes.files[which]}`, alt: `Scene ${n + 1} of those that drive channel ${channel} most`, loading: "lazy", width: 96, height: 96 }));

  function drawOff() {
    $(".offs").hidden = !state.off.length;
    $(".offs").replaceChildren(...state.off.length ? [`Switched off everywhere: ${state.off.join(", ")}. `, make("button", { type: "button", click: () => switched(() => []) }, "All on again")] : []);
  }

  const toggle = channel => switched(() => [...new Set([...state.off, channel])]);
  const switched = wanted => work("Computing again.", async () => {
    const before = state.logits[state.target], channels = wanted();
    Object.assign(state, { off: channels }, await engine("without", { channels }));
    forget();
    await drawAll();
    toAddress();
    tell(`${plan.classes[state.target]}: logit ${number(before)} before, ${number(state.logits[state.target])} now. First: ${plan.classes[order(state.logits)[0]]}.`);
  }, wanted); // each of them counts

  /* ---- a guess before the map is shown ---- */

  function mark(place, cell) {
    if (state.guess.delete(place)) cell.classList.remove("guessed");
    else { state.guess.add(place); cell.classList.add("guessed"); }
    cell.setAttribute("aria-selected", String(state.guess.has(place)));
    tell(`${state.guess.size} of ${PLACES} places marked.`);
  }

  const reveal = () => work("", async () => {
    const guess = state.guess, evidence = Array.from(mapOf(state.target), value => Math.max(value, 0)), all = evidence.reduce((sum, value) => sum + value, 0) || 1;
    const held = places => percent(places.reduce((sum, place) => sum + evidence[place], 0) / all);
    state.guess = null;
    await drawAll();
    const name = plan.classes[state.target], best = order(evidence).slice(0, guess.size);
    tell(guess.size ? `Your ${guess.size} places hold ${held([...guess])} of the evidence for ${name}; the ${guess.size} best hold ${held(best)}, and as many by chance ${percent(guess.size / PLACES)} on average.` : `The map of ${name}.`);
  });

  /* The grid of places: one stop for the tabulator, arrows inside. */
  function makeCells() {
    const buttons = Array.from({ length: PLACES }, (_, place) => make("button", { type: "button", role: "gridcell", tabindex: place ? -1 : 0, "aria-selected": "false",
      "aria-label": `Row ${Math.floor(place / ACROSS) + 1}, column ${place % ACROSS + 1}`, click: event => state.guess ? mark(place, event.currentTarget) : work("", async () => { state.place = place; await drawPlace(); tell($(".rest").textContent); toAddress(); }, "place") }));
    $(".cells").style.gridTemplate = `repeat(${ACROSS}, 1fr) / repeat(${ACROSS}, 1fr)`;
    $(".cells").append(...Array.from({ length: ACROSS }, (_, row) => make("div", { role: "row" }, ...buttons.slice(row * ACROSS, (row + 1) * ACROSS))));
    $(".cells").addEventListener("keydown", event => {
      const at = buttons.indexOf(document.activeElement), [down, right] = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key] ?? [0, 0];
      const row = Math.floor(at / ACROSS) + down, column = at % ACROSS + right;
      if (at < 0 || !(down || right)) return;
      event.preventDefault();
      if (row < 0 || column < 0 || row >= ACROSS || column >= ACROSS) return;
      buttons.forEach((button, n) => { button.tabIndex = n === row * ACROSS + column ? 0 : -1; });
      buttons[row * ACROSS + column].focus();
    });
  }

  /* ---- growing a picture ---- */

  const STEPS = "96", computed = plan.steps.some(step => step.name === plan.last); // not where the classifier pools the image itself
  const growable = plan.grown.includes(plan.last) || !computed ? plan.grown : [...plan.grown, plan.last];
  const channelsOf = layer => plan.steps.find(step => step.name === layer)?.channels ?? plan.mean.length;

  function limitChannel() {
    const most = channelsOf($(".grow [name=layer]").value) - 1, field = $(".grow [name=channel]");
    field.max = most;
    field.value = Math.min(Math.max(Math.round(+field.value) || 0, 0), most);
    $(".grow .most-channel").textContent = `0 to ${most}`;
  }

  /* What the dial "beside it" changes. */
  const beside = (wanted, dial) => ({ transforms: [{ transforms: !wanted.transforms }], seed: [{ seed: wanted.seed + 1 }], channel: [{ channel: (wanted.channel + 1) % channelsOf(wanted.layer) }] })[dial] ?? [];
  const described = one => `${one.layer}, channel ${one.channel}, seed ${one.seed}${one.transforms ? "" : ", without turning"}`;

  const grow = () => work("Growing.", async () => {
    limitChannel();
    const form = $(".grow form").elements, steps = +form.steps.value, began = performance.now(), figures = [...document.querySelectorAll(".grown")];
    const wanted = { layer: form.layer.value, channel: +form.channel.value, steps, seed: Math.round(+form.seed.value) || 0, transforms: form.transforms.checked, side: GROWN };
    const also = beside(wanted, form.beside.value), all = [wanted, ...also.map(one => ({ ...wanted, ...one }))];
    const part = (which, tag) => figures[which].querySelector(tag);
    figures.forEach((figure, which) => { figure.hidden = which >= all.length; });
    $(".grow .go").hidden = $(".grow .save").hidden = true;
    $(".grow .stop").hidden = false;
    try {
      const grown = await engine("grow", { ...wanted, also }, ({ which, done, score, pixels }) => {
        if (pixels) drawPhotograph(part(which, "canvas"), pixels);
        part(which, "progress").value = done / steps;
        part(which, "figcaption").textContent = `Step ${done} of ${steps}; the channel is at ${number(score)}.`;
      });
      const took = ((performance.now() - began) / 1000).toFixed(1), said = [grown, ...grown.also].map(({ pixels, score, done }, which) => {
        drawPhotograph(part(which, "canvas"), pixels);
        part(which, "canvas").setAttribute("aria-label", `Grown from noise for ${described(all[which])}`);
        return part(which, "figcaption").textContent = `${described(all[which])}: ${number(score)} after ${done} steps.`;
      });
      $(".grow .save").hidden = false;
      tell(`${said.join(" ")} ${took} s.`);
      toAddress(["grow", wanted.layer, wanted.channel, wanted.seed, form.beside.value, form.steps.value === STEPS && wanted.transforms ? "" : form.steps.value, wanted.transforms ? "" : "still"]);
    } finally {
      $(".grow .go").hidden = false;
      $(".grow .stop").hidden = true;
    }
  });

  function growFor(layer, channel) {
    const form = $(".grow form").elements;
    form.layer.value = layer;
    form.channel.value = channel;
    $(".grow").scrollIntoView();
    return grow();
  }

  /* The pictures as they stand, one file each. */
  const save = () => [...document.querySelectorAll(".grown:not([hidden]) canvas")].forEach((canvas, which) => canvas.toBlob(blob => {
    const form = $(".grow form").elements, link = make("a", { href: URL.createObjectURL(blob), download: `${form.layer.value}-${form.channel.value}${which ? "-beside" : ""}.png` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }));

  /* ---- the address holds the state: #example/class/place/view/off, or #grow/layer/channel/seed/beside/steps/still ---- */

  const VIEWS = { saliency: () => { $("[value=saliency]").checked = true; state.kind = "saliency"; viewed("saliency"); return work("", drawMap); }, erase: compare, delete: deletion, shuffle, depth: walk };

  const viewed = name => { state.view = name; toAddress(); };

  function toAddress(parts) {
    const said = parts ?? [state.name, plan.classes[state.target], state.place ?? "", state.view, state.off.join()];
    while (said.at(-1) === "") said.pop();
    const address = parts || state.name ? `#${said.map(encodeURIComponent).join("/")}` : location.pathname + location.search;
    try { history.replaceState(null, "", address); } catch { /* some browsers keep the address of a file as it is */ }
  }

  async function fromAddress() {
    const [name, label, place, view, last, steps, still] = location.hash.slice(1).split("/").map(part => { try { return decodeURIComponent(part); } catch { return part; } }), picture = [...document.querySelectorAll(".example")].find(one => one.id === name);
    if (!engine) return;
    if (name === "grow" && growable.length) {
      asked++;
      const form = $(".grow form").elements, set = (field, value) => { if (value !== undefined) field.value = value; };
      if (growable.includes(label)) form.layer.value = label;
      set(form.channel, place); set(form.seed, view); set(form.beside, last);
      form.steps.value = [...form.steps.options].some(one => one.value === steps) ? steps : STEPS;
      form.transforms.checked = still !== "still";
      $(".grow").scrollIntoView();
      await grow();
      return;
    }
    if (!picture) return;
    const looked = look(picture.querySelector("img"), name), turn = asked, index = plan.classes.indexOf(label);
    await looked;
    if (turn !== asked) return; // something else was asked for since
    await work("", async () => {
      if (index >= 0) state.target = index;
      if (/^\d+$/.test(place ?? "") && +place < PLACES) state.place = +place;
      const off = exact && last ? [...new Set(last.split(",").filter(one => /^\d+$/.test(one) && +one < channelsOf(plan.last)).map(Number))] : [];
      if (off.length) Object.assign(state, { off }, await engine("without", { channels: off }));
      await drawAll();
      toAddress();
    });
    if (turn === asked && Object.hasOwn(VIEWS, view) && (exact || view === "depth")) await VIEWS[view]();
  }

  /* ---- start ---- */

  function themes() {
    const button = $(".theme"), modes = ["auto", "light", "dark"], root = document.documentElement;
    const set = mode => { if (mode === "auto") delete root.dataset.theme; else root.dataset.theme = mode; button.textContent = `Colors: ${mode}`; button.setAttribute("aria-label", `Colors: ${mode}. Press to change.`); };
    button.hidden = false;
    set(root.dataset.theme || "auto");
    button.addEventListener("click", () => {
      const mode = modes[(modes.indexOf(root.dataset.theme || "auto") + 1) % 3];
      try { localStorage.setItem("theme", mode === "auto" ? "" : mode); } catch { /* for this page */ }
      set(mode);
    });
  }

  function listen() {
    $(".load").addEventListener("click", load);
    $(".file input").addEventListener("change", event => { if (event.target.files[0]) look(event.target.files[0], ""); });
    $(".opacity").addEventListener("input", event => { $(".heat").style.opacity = event.target.value; });
    $(".kinds").addEventListener("change", event => work("", async () => { state.kind = event.target.value; await drawMap(); viewed(state.kind === "saliency" ? "saliency" : ""); }));
    $(".outlined").addEventListener("change", () => work("", drawMap));
    $(".shuffle").addEventListener("click", shuffle);
    $(".layer").addEventListener("input", () => work("", drawDepth));
    $(".walk").addEventListener("click", walk);
    $(".reveal").addEventListener("click", reveal);
    $(".first input").addEventListener("change", event => { if (!event.target.checked && state.guess) reveal(); });
    $(".erase").addEventListener("click", compare);
    $(".delete").addEventListener("click", deletion);
    $(".grow form").addEventListener("submit", event => { event.preventDefault(); grow(); });
    $(".grow form").addEventListener("change", limitChannel);
    $(".grow .stop").addEventListener("click", () => engine("halt"));
    $(".grow .save").addEventListener("click", save);
    $(".find input").addEventListener("change", event => {
      const index = plan.classes.findIndex(name => name.trim().toLowerCase() === event.target.value.trim().toLowerCase());
      if (index >= 0) choose(index); else if (event.target.value) tell(`There is no class “${event.target.value}”. Choose one from the list.`, true);
    });
    addEventListener("dragover", event => { event.preventDefault(); document.body.classList.add("over"); });
    addEventListener("dragleave", () => document.body.classList.remove("over"));
    addEventListener("drop", event => {
      event.preventDefault();
      document.body.classList.remove("over");
      const dropped = event.dataTransfer.files[0];
      if (dropped && engine) look(dropped, ""); else tell(engine ? "That was no file." : "Load the network first.", true);
    });
    addEventListener("hashchange", fromAddress);
  }

  themes();
  if (exact) makeCells();
  else document.querySelectorAll("[data-maps]").forEach(one => { one.hidden = true; });
  $(".start").hidden = false;
  $("#classes").append(...[...plan.classes].sort().map(name => make("option", { value: name })));
  for (const example of document.querySelectorAll(".example")) {
    const picture = example.querySelector("img");
    example.append(make("button", { type: "button", hidden: "", click: () => look(picture, example.id).then(() => $(".work").scrollIntoView()) }, "Look at this"));
  }
  const grown = plan.grown.includes(plan.first) ? plan.first : growable[plan.grown.length >> 1];
  $(".layer").max = depths.length - 1;
  $(".layer").value = depths.length - 1;
  $(".depth").hidden = !depths.length;
  $(".grow [name=layer]").append(...growable.map(name => make("option", name === grown ? { selected: "" } : {}, name)));
  if (grown) limitChannel();
  listen();
})();
