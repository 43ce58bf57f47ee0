// The logits of an image of another size, or why there are none, from the network and from the page's worker: node sides.js FOLDER.
"use strict";
const fs = require("fs"), path = require("path");

const web = path.join(__dirname, "../../interp/lab/web"), folder = process.argv[2];
for (const name of ["kernels", "network", "random", "ascent", "worker"]) Object.assign(globalThis, require(path.join(web, `${name}.js`)));

const bytes = name => { const read = fs.readFileSync(path.join(folder, name)); return read.buffer.slice(read.byteOffset, read.byteOffset + read.length); };
const plan = JSON.parse(fs.readFileSync(path.join(folder, "plan.json"))), kernels = fs.readFileSync(path.join(web, "kernels.wasm")), pixels = new Float32Array(bytes("other.f32"));
const network = new Network(plan, halves(new Uint16Array(bytes("weights.f16"))), kernelMaker(kernels));

function logits() {
  try {
    network.show(pixels);
    network.forward();
    return plan.classes.map((_, index) => network.plane("logits", index)[0]);
  } catch (error) { return error.message; }
}

const told = [], scope = { postMessage: data => told.push(data.error ?? "an answer") };
serve(scope);
(async () => {
  await scope.onmessage({ data: { id: 1, job: "load", plan, kernels, weights: bytes("weights.f16") } });
  for (const job of ["look", "score"]) await scope.onmessage({ data: { id: 2, job, pixels } });
  console.log(JSON.stringify({ logits: logits(), told: told.slice(1) }));
})();
