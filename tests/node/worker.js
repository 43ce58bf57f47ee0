// Asks the lab's worker what the page asks it, and prints what came out as JSON: node worker.js FOLDER.
"use strict";
const fs = require("fs"), path = require("path");

const web = path.join(__dirname, "../../interp/lab/web"), folder = process.argv[2];
for (const name of ["kernels", "network", "random", "ascent", "worker"]) Object.assign(globalThis, require(path.join(web, `${name}.js`)));

const bytes = name => { const read = fs.readFileSync(path.join(folder, name)); return read.buffer.slice(read.byteOffset, read.byteOffset + read.length); };
const plan = JSON.parse(fs.readFileSync(path.join(folder, "plan.json"))), weights = bytes("weights.f16");
const waiting = new Map(), scope = { postMessage: data => { const ask = waiting.get(data.id); if (data.progress) ask.progress(data.progress); else ask.done(data); } };
serve(scope);
let count = 0;
const ask = (job, data = {}, progress = () => {}) => new Promise(done => { waiting.set(++count, { done, progress }); scope.onmessage({ data: { id: count, job, ...data } }); });
const result = async (...all) => { const answer = await ask(...all); if (answer.error) throw new Error(answer.error); return answer.result; };
const largest = (a, b) => a.reduce((most, value, n) => Math.max(most, Math.abs(value - b[n])), 0);

async function main() {
  const out = {}, place = 24, kernels = fs.readFileSync(path.join(web, "kernels.wasm")), pixels = new Float32Array(bytes("image.f32"));
  out.fast = (await result("load", { plan, kernels, weights })).fast;
  const seen = await result("look", { pixels }), target = seen.logits.indexOf(Math.max(...seen.logits)), map = seen.maps.subarray(49 * target, 49 * target + 49);
  out.first = plan.classes[target];
  const bias = seen.logits[target] - map.reduce((sum, value) => sum + value, 0) / 49, held = halves(new Uint16Array(weights));
  out.bias = Math.abs(bias - held[plan.steps.find(step => step.name === "maps").bias + target]);

  const parts = await result("parts", { target, place, count: 1280 });
  out.parts = Math.abs(parts.sum - map[place]);
  out.against = Math.abs(parts.against - parts.best.filter(one => one.share < 0).reduce((sum, one) => sum + one.share, 0));
  const off = parts.best.slice(0, 3).map(one => one.channel), without = await result("without", { channels: off });
  out.without = Math.abs(map[place] - parts.best.slice(0, 3).reduce((sum, one) => sum + one.share, 0) - without.maps[49 * target + place]);
  out.back = largest((await result("without", { channels: [] })).logits, seen.logits);

  const gray = await result("score", { pixels: new Float32Array(pixels.length).fill(0.5) });
  out.gray = gray.logits[target] - seen.logits[target];
  out.still = largest((await result("without", { channels: [] })).logits, seen.logits);
  const units = await result("units", { target, place, layer: "blocks.4.2", count: 6 }), { map: slope } = await result("saliency", { target });
  out.units = units.best.map(one => one.share);
  out.saliency = [slope.length, Math.min(...slope), Math.max(...slope)];

  const same = await result("views", { target }), other = await result("views", { target, seed: 0 }), gone = await result("views", { target, seed: 0 });
  out.views = [largest(same.map, map), largest(same.saliency, slope), largest(other.map, gone.map), largest(other.map, map)];
  out.noisy = largest((await result("views", { target, pixels: pixels.map(value => 1 - value) })).map, map);
  out.whole = largest((await result("without", { channels: [] })).logits, seen.logits);
  const deep = await result("depth", { layer: "act_head", target }), early = await result("depth", { layer: "act_stem", target });
  out.depth = [deep.side, deep.channels, early.side, early.channels];
  out.evidence = Math.max(Math.abs(deep.evidence.reduce((sum, value) => sum + value, 0) + bias - seen.logits[target]), ...deep.evidence.map((value, n) => Math.abs(value - map[n] / 49)));

  const steps = [], grown = await result("grow", { layer: "blocks.2.1", channel: 3, steps: 40, side: 64, seed: 1 }, one => { steps.push(one.done); if (one.done === 5) ask("halt"); });
  out.grown = [grown.done, steps.length, grown.pixels.length];
  const wanted = { layer: "blocks.2.1", channel: 3, steps: 6, side: 64, seed: 1 }, pair = await result("grow", { ...wanted, also: [{ seed: 2 }] });
  const [first, second] = [await result("grow", wanted), await result("grow", { ...wanted, seed: 2 })];
  out.together = [largest(pair.pixels, first.pixels), largest(pair.also[0].pixels, second.pixels), largest(first.pixels, second.pixels)];
  out.afterwards = largest((await result("without", { channels: [] })).logits, seen.logits);
  out.error = (await ask("parts", { target: 0, place: 0, count: 1 })).error ?? (await ask("units", { target: 0, place: 0, layer: "no layer", count: 1 })).error;
  console.log(JSON.stringify(out));
}
main();
