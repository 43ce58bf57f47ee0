// Grows pictures for some channels and prints their scores as JSON: node grow.js FOLDER LAYER STEPS CHANNEL ...
"use strict";
const fs = require("fs"), path = require("path");

const web = path.join(__dirname, "../../interp/lab/web"), [folder, layer, steps, ...channels] = process.argv.slice(2);
for (const name of ["kernels", "network", "random", "ascent"]) Object.assign(globalThis, require(path.join(web, `${name}.js`)));

const plan = JSON.parse(fs.readFileSync(path.join(folder, "plan.json"))), held = fs.readFileSync(path.join(folder, "weights.f16"));
const weights = halves(new Uint16Array(held.buffer.slice(held.byteOffset, held.byteOffset + held.length)));
const network = new Network(plan, weights, kernelMaker(fs.readFileSync(path.join(web, "kernels.wasm"))));

function grown(channel) {
  const ascent = new Ascent(network, { layer, channel, steps: +steps });
  while (ascent.done < ascent.steps) ascent.step();
  const { pixels } = ascent.picture();
  return { score: ascent.score(pixels), pixels };
}

/* The slope of the score along its own gradient in the waves, measured and computed. */
function slopes(channel) {
  const ascent = new Ascent(network, { layer, channel, steps: 1, side: 64 }), made = ascent.picture();
  const gradient = ascent.back(made, ascent.slope(made.pixels).gradient), long = Math.hypot(...gradient.map(part => Math.hypot(...part)));
  const moved = step => { gradient.forEach((part, kind) => part.forEach((value, n) => { ascent.waves[kind][n] += step * value / long; })); return ascent.score(ascent.picture().pixels); };
  const up = moved(0.01), down = moved(-0.02);
  return [(up - down) / 0.02, long];
}

const pictures = channels.map(Number).map(grown), again = grown(+channels[0]);
console.log(JSON.stringify({ scores: pictures.map(one => one.score), slopes: channels.map(Number).map(slopes),
  same: again.pixels.every((value, n) => Object.is(value, pictures[0].pixels[n])) }));
