// Looks at photographs and writes what it says, logits and the map of the first class, one after the other: node looks.js FOLDER COUNT.
"use strict";
const fs = require("fs"), path = require("path");

const web = path.join(__dirname, "../../interp/lab/web"), [folder, count] = process.argv.slice(2);
for (const name of ["kernels", "network"]) Object.assign(globalThis, require(path.join(web, `${name}.js`)));

const bytes = name => { const read = fs.readFileSync(path.join(folder, name)); return read.buffer.slice(read.byteOffset, read.byteOffset + read.length); };
const plan = JSON.parse(fs.readFileSync(path.join(folder, "plan.json")));
const network = new Network(plan, halves(new Uint16Array(bytes("weights.f16"))), kernelMaker(fs.readFileSync(path.join(web, "kernels.wasm"))));
const held = new Float32Array(bytes("photographs.f32")), size = held.length / +count;

const said = Array.from({ length: +count }, (_, n) => {
  network.show(held.subarray(n * size, (n + 1) * size));
  network.forward();
  const logits = plan.classes.map((_, index) => network.plane("logits", index)[0]);
  return { logits, map: [...network.plane("maps", logits.indexOf(Math.max(...logits)))] };
});
console.log(JSON.stringify({ said }));
