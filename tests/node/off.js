// What the lab's worker says of a network without some channels of its last layer, as JSON: node off.js FOLDER CHANNEL ...
"use strict";
const fs = require("fs"), path = require("path");

const web = path.join(__dirname, "../../interp/lab/web"), [folder, ...channels] = process.argv.slice(2);
for (const name of ["kernels", "network", "random", "ascent", "worker"]) Object.assign(globalThis, require(path.join(web, `${name}.js`)));

const bytes = name => { const read = fs.readFileSync(path.join(folder, name)); return read.buffer.slice(read.byteOffset, read.byteOffset + read.length); };
const plan = JSON.parse(fs.readFileSync(path.join(folder, "plan.json"))), said = new Map(), scope = { postMessage: data => said.get(data.id)(data) };
serve(scope);
let count = 0;
const ask = (job, data) => new Promise((done, fail) => { said.set(++count, ({ result, error }) => error ? fail(new Error(error)) : done(result)); scope.onmessage({ data: { id: count, job, ...data } }); });

async function main() {
  await ask("load", { plan, kernels: fs.readFileSync(path.join(web, "kernels.wasm")), weights: bytes("weights.f16") });
  await ask("look", { pixels: new Float32Array(bytes("image.f32")) });
  const { logits } = await ask("without", { channels: channels.map(Number) }), { map } = await ask("saliency", { target: 2 });
  console.log(JSON.stringify({ logits, saliency: [...map] }));
}
main();
