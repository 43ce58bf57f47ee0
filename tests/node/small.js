// At which side pictures of a layer begin to grow, or why they cannot, as JSON: node small.js FOLDER LAYER SIDE ...
"use strict";
const fs = require("fs"), path = require("path");

const web = path.join(__dirname, "../../interp/lab/web"), [folder, layer, ...sides] = process.argv.slice(2);
for (const name of ["kernels", "network", "random", "ascent"]) Object.assign(globalThis, require(path.join(web, `${name}.js`)));

const plan = JSON.parse(fs.readFileSync(path.join(folder, "plan.json"))), held = fs.readFileSync(path.join(folder, "weights.f16"));
const weights = halves(new Uint16Array(held.buffer.slice(held.byteOffset, held.byteOffset + held.length)));
const network = new Network(plan, weights, kernelMaker(fs.readFileSync(path.join(web, "kernels.wasm"))));

function begun(side) {
  try {
    const ascent = new Ascent(network, { layer, channel: 0, steps: 4, side });
    return Number.isFinite(ascent.step()) ? ascent.side : "no number";
  } catch (error) { return error.message; }
}
console.log(JSON.stringify(Object.fromEntries(sides.map(side => [side, begun(+side)]))));
