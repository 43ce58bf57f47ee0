// Runs the lab's engine on networks of other kinds, one in each folder, and prints how far it is from what lies there as JSON:
// node networks.js FOLDER ...
"use strict";
const fs = require("fs"), path = require("path");

const web = path.join(__dirname, "../../interp/lab/web");
Object.assign(globalThis, require(path.join(web, "kernels.js")), require(path.join(web, "network.js")));
const makers = { wasm: kernelMaker(fs.readFileSync(path.join(web, "kernels.wasm"))), plain: kernelMaker(null) };
if (makers.wasm.plain) throw new Error("kernels.wasm does not compile here");

const length = list => Math.hypot(...[0, ...list]);
const apart = (a, b) => a.length === b.length ? length(a.map((value, n) => value - b[n])) / length(b) : Infinity; // as a share of the second
const all = (network, name, what = "value") => {
  const { channels, height, width } = network.tensor(name), found = new Float32Array(channels * height * width);
  for (let channel = 0; channel < channels; channel++) found.set(network.plane(name, channel, what), channel * height * width);
  return found;
};

function compared(folder) {
  const floats = name => { const read = fs.readFileSync(path.join(folder, name)); return new Float32Array(read.buffer.slice(read.byteOffset, read.byteOffset + read.length)); };
  const plan = JSON.parse(fs.readFileSync(path.join(folder, "plan.json"))), weights = floats("weights.f32"), image = floats("image.f32"), toward = floats("toward.f32");
  const [mine, plain] = [makers.wasm, makers.plain].map(make => {
    const network = new Network(plan, weights, make);
    network.show(image.map(value => 1 - value)); network.forward(); // nothing of another image stays behind
    network.backward("logits", ({ gradient, count }) => network.numbers.fill(1, gradient, gradient + count));
    network.show(image); network.forward();
    network.backward("logits", ({ gradient, size }) => toward.forEach((value, index) => { network.numbers[gradient + index * size] = value; }));
    return network;
  });
  const slope = all(mine, "input", "gradient").map((value, n) => value / plan.std[Math.floor(n / mine.side ** 2)]);
  const same = (a, b) => a.every((value, n) => Object.is(value, b[n]));
  const differing = ["value", "gradient"].flatMap(what => plan.steps.map(step => step.name).filter(name => !same(all(plain, name, what), all(mine, name, what))).map(name => `${what} of ${name}`));
  return { logits: apart(all(mine, "logits"), floats("logits.f32")), gradient: apart(slope, floats("gradient.f32")), differing };
}

console.log(JSON.stringify(Object.fromEntries(process.argv.slice(2).map(folder => [path.basename(folder), compared(folder)]))));
