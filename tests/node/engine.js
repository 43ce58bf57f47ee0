// Runs the lab's engine on what a folder holds, and prints what came out as JSON: node engine.js FOLDER.
"use strict";
const fs = require("fs"), path = require("path");

const web = path.join(__dirname, "../../interp/lab/web"), folder = process.argv[2];
Object.assign(globalThis, require(path.join(web, "kernels.js")), require(path.join(web, "network.js")));

const bytes = name => { const read = fs.readFileSync(path.join(folder, name)); return read.buffer.slice(read.byteOffset, read.byteOffset + read.length); };
const floats = name => new Float32Array(bytes(name));
const plan = JSON.parse(fs.readFileSync(path.join(folder, "plan.json")));
const weights = halves(new Uint16Array(bytes("weights.f16")));
const makers = { wasm: kernelMaker(fs.readFileSync(path.join(web, "kernels.wasm"))), plain: kernelMaker(null) };
if (makers.wasm.plain) throw new Error("kernels.wasm does not compile here");

const largest = (a, b) => a.reduce((most, value, n) => Math.max(most, Math.abs(value - b[n])), 0);
const length = list => Math.sqrt(list.reduce((sum, value) => sum + value * value, 0));
const apart = (a, b) => length(a.map((value, n) => value - b[n])) / length(b); // as a share of the second
const all = (network, name, what = "value") => {
  const { channels, side } = network.tensor(name), found = new Float32Array(channels * side ** 2);
  for (let channel = 0; channel < channels; channel++) found.set(network.plane(name, channel, what), channel * side ** 2);
  return found;
};
const logit = (network, target) => network.plane("logits", target)[0];
const backward = (network, target) => network.backward("logits", ({ gradient, size }) => { network.numbers[gradient + target * size] = 1; });
const looked = (network, pixels, target) => { network.show(pixels); network.forward(); backward(network, target); };
const slope = network => all(network, "input", "gradient").map((value, n) => value / plan.std[Math.floor(n / network.side ** 2)]);

const target = 281, image = floats("image.f32"), network = new Network(plan, weights, makers.wasm), out = {};
looked(network, image, target);
out.logits = largest(all(network, "logits"), floats("logits.f32"));
out.gradient = apart(slope(network), floats("gradient.f32"));
out.layers = Object.fromEntries(["act_stem", "blocks.1.0", "blocks.3.2", "act_head"].map(name =>
  [name, [largest(all(network, name), floats(`${name}.f32`)), apart(all(network, name, "gradient"), floats(`${name}-gradient.f32`))]]));

// A smaller image: the same in plain JavaScript, a slope against two logits, and a part of the way again.
const small = floats("small.f32"), plain = new Network(plan, weights, makers.plain), mine = new Network(plan, weights, makers.wasm);
for (const one of [plain, mine]) looked(one, small, target);
const same = (a, b) => a.every((value, n) => Object.is(value, b[n]));
out.differing = ["value", "gradient"].flatMap(what => plan.steps.map(step => step.name)
  .filter(name => !same(all(plain, name, what), all(mine, name, what))));
const way = slope(mine), long = length(way), step = 0.002;
const moved = sign => { mine.show(small.map((value, n) => value + sign * step * way[n] / long)); mine.forward(); return logit(mine, target); };
out.slope = [(moved(1) - moved(-1)) / (2 * step), long];

mine.show(small); mine.forward();
const before = all(mine, "logits"), weight = plan.steps.find(one => one.name === "maps").weights;
const mean = channel => mine.plane("act_head", channel).reduce((sum, value) => sum + value, 0) / mine.tensor("act_head").side ** 2;
const { channels } = mine.tensor("act_head"), strongest = [...Array(channels).keys()].reduce((best, n) => mean(n) > mean(best) ? n : best);
const share = mean(strongest);
mine.plane("act_head", strongest).fill(0);
mine.forward("logits", "act_head");
const fell = all(mine, "logits").map((value, n) => before[n] - value);
const due = fell.map((_, n) => share * weights[weight + n * channels + strongest]);
out.without = [largest(fell, due), Math.max(...due.map(Math.abs))];

// The network again at the first size: nothing of the other one is left.
network.show(small); network.forward(); network.show(image); network.forward();
out.again = largest(all(network, "logits"), floats("logits.f32")) === out.logits;
console.log(JSON.stringify(out));
