// Times of the lab's engine in node, in milliseconds, as JSON: node lab.js FOLDER.
"use strict";
const fs = require("fs"), path = require("path");

const web = path.join(__dirname, "../interp/lab/web"), folder = process.argv[2];
for (const name of ["kernels", "network", "operations", "random", "ascent"]) Object.assign(globalThis, require(path.join(web, `${name}.js`)));

const plan = JSON.parse(fs.readFileSync(path.join(folder, "plan.json"))), held = fs.readFileSync(path.join(folder, "weights.f16"));
const weights = halves(new Uint16Array(held.buffer.slice(held.byteOffset, held.byteOffset + held.length)));
const median = values => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
const timed = (work, times) => { work(); return median(Array.from({ length: times }, () => { const began = performance.now(); work(); return performance.now() - began; })); };
const out = {};

for (const [kind, bytes, times] of [["wasm", fs.readFileSync(path.join(web, "kernels.wasm")), 20], ["JavaScript", null, 3]]) {
  const network = new Network(plan, weights, kernelMaker(bytes)), { uniform } = randomNumbers(0);
  const pixels = Float32Array.from({ length: 3 * plan.side ** 2 }, uniform);
  out[kind] = {
    forward: timed(() => { network.show(pixels); network.forward(); }, times),
    backward: timed(() => network.backward("logits", ({ gradient }) => { network.numbers[gradient] = 1; }), times),
    megabytes: network.numbers.byteLength / 1e6,
  };
  const ascent = new Ascent(network, { layer: "blocks.3.2", channel: 44, steps: 1 });
  out[kind].step = timed(() => ascent.step(), times);
}
console.log(JSON.stringify(out));
