// A network that runs forward, and backward to its pixels: a plan (what is computed from what), weights, and six kernels.
// What the network of the book does stands here; operations.js has what others do besides.
// Every value and every gradient lies in one array of numbers, where it can be read, and changed, after a pass.
"use strict";

class Network {
  static START = 8; // where the weights begin in the array: the index 0 means "no bias"

  /* plan: see interp/lab/plan.py. weights: numbers, as the plan orders them. make(count) gives {numbers, kernels}. */
  constructor(plan, weights, make) {
    Object.assign(this, { plan, make, steps: plan.steps, count: weights.length });
    this.index = new Map([["input", 0], ...plan.steps.map((step, number) => [step.name, number + 1])]);
    this.arrange(plan.side, weights);
  }

  /* Give every value and gradient its place for images of this side; behind them room for what a step lays out. */
  arrange(side, weights = this.numbers.subarray(Network.START, Network.START + this.count)) {
    let end = Network.START + this.count, room = 0;
    const place = count => { const at = Math.ceil(end / 8) * 8; end = at + count; return at; };
    const tensor = (channels, height, width) => {
      const size = Math.ceil(height * width / 8) * 8, count = channels * size; // a plane with its room
      return { channels, height, width, side: height, size, count, value: place(Math.ceil(channels / 4) * 4 * size) }; // rows go by fours
    };
    this.tensors = [tensor(this.plan.mean.length, side, side)];
    for (const step of this.steps) {
      const from = this.tensors[this.index.get(step.from)], to = tensor(step.channels, ...shapeOf(step, from));
      this.tensors.push(to);
      room = Math.max(room, this.roomFor(step, from, to));
    }
    for (const one of this.tensors) one.gradient = place(Math.ceil(one.channels / 4) * 4 * one.size);
    this.frame = place(room + 64); // eight pixels at a time read a little further than the last
    this.side = side;
    if (this.numbers?.length >= end) return;
    Object.assign(this, this.make(end));
    this.numbers.set(weights, Network.START);
  }

  tensor(name) { return this.tensors[this.index.get(name)]; }

  /* One channel of a value, or of its gradient: numbers that may be read and written. */
  plane(name, channel, what = "value") {
    const one = this.tensor(name), at = one[what] + channel * one.size;
    return this.numbers.subarray(at, at + one.height * one.width);
  }

  /* Take a square image: planes of red, green and blue in [0, 1], one after the other. */
  show(pixels) {
    const side = Math.sqrt(pixels.length / this.plan.mean.length);
    if (side !== this.side) this.arrange(side);
    this.plan.mean.forEach((mean, channel) => this.plane("input", channel)
      .set(pixels.subarray(channel * side ** 2, (channel + 1) * side ** 2).map(value => (value - mean) / this.plan.std[channel])));
  }

  /* Compute the steps after one value up to another. */
  forward(until = this.steps.at(-1).name, after = "input") {
    for (let n = this.index.get(after); n < this.index.get(until); n++) {
      const step = this.steps[n], limits = limitsOf(step);
      this[step.op](step, this.tensor(step.from), this.tensors[n + 1], limits);
    }
  }

  /* Compute the gradient of a score in all values before one, back to another; seed(tensor) writes the score's own there. */
  backward(name, seed, until = "input") {
    const last = this.index.get(name), { gradient, count } = this.tensors[last];
    this.numbers.fill(0, this.tensors[0].gradient, gradient + count);
    seed(this.tensors[last]);
    for (let n = last - 1; n >= this.index.get(until); n--) {
      const step = this.steps[n], to = this.tensors[n + 1];
      if (step.limits) this.kernels.gate(to.gradient, to.value, to.count, ...limitsOf(step));
      this[`${step.op}Back`](step, this.tensor(step.from), to);
    }
  }

  /* A 1x1 convolution; backward the same with rows and columns of the weights exchanged. */
  product({ weights, bias }, from, to, limits) {
    this.kernels.product(this.at(weights), from.channels, 1, this.at(bias), from.value, to.value, to.channels, from.channels, to.size, ...limits);
  }
  productBack({ weights }, from, to) {
    this.kernels.product(this.at(weights), 1, from.channels, 0, to.gradient, from.gradient, from.channels, to.channels, to.size, -Infinity, Infinity);
  }

  /* A convolution that filters every channel alone. */
  depthwise(step, from, to, limits) {
    for (let channel = 0; channel < to.channels; channel++) {
      this.pad(step, from, to, channel);
      this.filter(step, to, channel, channel, step.bias + channel, limits);
    }
  }
  depthwiseBack(step, from, to) {
    for (let channel = 0; channel < to.channels; channel++) {
      this.spread(step, from, to, channel);
      this.filterBack(step, from, channel, channel);
    }
  }

  /* Lay a channel into a frame of zeros, so that no filter need ask where the image ends. */
  pad(step, from, to, channel) {
    const { kernel, stride } = step, [before] = marginsOf(step, from, to);
    this.wide = Math.max((to.side - 1) * stride + kernel, before + from.side);
    this.kernels.lay(from.value + channel * from.size, from.side, from.side, this.frame, this.wide, this.wide, before, 1);
  }
  filter({ weights, kernel, stride }, to, out, which, bias, limits) {
    this.kernels.filter(this.frame, this.wide, this.at(weights + which * kernel ** 2), 1, kernel, stride,
      bias === null ? 0 : this.at(bias), to.value + out * to.size, to.side, to.side, ...limits);
  }

  /* The way back: the gradient spread out where the way there had a stride, filtered with the kernel turned around. */
  spread(step, from, to, out) {
    const { kernel, stride } = step, [before] = marginsOf(step, from, to);
    this.wide = from.side + kernel - 1;
    this.kernels.lay(to.gradient + out * to.size, to.side, to.side, this.frame, this.wide, this.wide, kernel - 1 - before, stride);
  }
  filterBack({ weights, kernel }, from, channel, which) {
    this.kernels.filter(this.frame, this.wide, this.at(weights + (which + 1) * kernel ** 2 - 1), -1, kernel, 1,
      0, from.gradient + channel * from.size, from.side, from.side, -Infinity, Infinity);
  }

  /* A block's input is added to its output. */
  add({ plus }, from, to) {
    this.numbers.copyWithin(to.value, from.value, from.value + from.count);
    this.kernels.increase(to.value, this.tensor(plus).value, 1, to.count);
  }
  addBack({ plus }, from, to) {
    for (const one of [from, this.tensor(plus)]) this.kernels.increase(one.gradient, to.gradient, 1, to.count);
  }

  /* The mean over all places. */
  mean(step, from, to) {
    for (let channel = 0; channel < to.channels; channel++)
      this.numbers[to.value + channel * to.size] = this.plane(step.from, channel).reduce((sum, value) => sum + value, 0) / (from.height * from.width);
  }
  meanBack(step, from, to) {
    for (let channel = 0; channel < to.channels; channel++) {
      const share = this.numbers[to.gradient + channel * to.size] / (from.height * from.width);
      this.plane(step.from, channel, "gradient").forEach((value, place, plane) => { plane[place] = value + share; });
    }
  }

  at(place) { return Network.START + place; }
}

/* What a step of a convolution or of a pooling says, down and across; a single number holds for both. */
const pair = (value, otherwise = 1) => Array.isArray(value) ? value : [value ?? otherwise, value ?? otherwise];

/* Between what numbers a step keeps its output: [0, 6] is ReLU6, [0] is ReLU. */
const limitsOf = ({ limits: [low, high] = [] }) => [low ?? -Infinity, high ?? Infinity];

/* How many pixels a kernel reaches over. */
const reach = (step, axis) => pair(step.dilation)[axis] * (pair(step.kernel)[axis] - 1) + 1;

/* Height and width of what a step gives. Without a padding it is TensorFlow's: as many places as fit the stride. */
function shapeOf(step, { height, width }) {
  if (step.op === "mean") return [1, 1];
  if (step.op === "areas") return step.cells;
  if (step.op === "zeros") return [height + step.edges[2] + step.edges[3], width + step.edges[0] + step.edges[1]];
  if (!step.kernel) return [height, width];
  return [height, width].map((before, axis) => {
    const stride = pair(step.stride)[axis], padding = pair(step.padding, null)[axis];
    if (padding === null) return Math.ceil(before / stride);
    const free = before + 2 * padding - reach(step, axis), count = (step.ceil ? Math.ceil : Math.floor)(free / stride) + 1;
    return Math.max(step.ceil && (count - 1) * stride >= before + padding ? count - 1 : count, 0);
  });
}

/* How many zeros lie above and at the left. TensorFlow's padding leaves an odd one at the right and below. */
function marginsOf(step, from, to) {
  return ["height", "width"].map((length, axis) => pair(step.padding, null)[axis]
    ?? Math.floor(Math.max((to[length] - 1) * pair(step.stride)[axis] + reach(step, axis) - from[length], 0) / 2));
}

/* make(count) for the wasm kernels; without them, or where there is no WebAssembly with SIMD, for those in JavaScript. */
function kernelMaker(bytes) {
  let compiled = null;
  try { compiled = new WebAssembly.Module(bytes); } catch { /* in JavaScript */ }
  const make = count => {
    if (!compiled) { const numbers = new Float32Array(count); return { numbers, kernels: plainKernels(numbers) }; }
    const memory = new WebAssembly.Memory({ initial: Math.ceil(count * 4 / 65536) });
    return { numbers: new Float32Array(memory.buffer), kernels: new WebAssembly.Instance(compiled, { env: { memory } }).exports };
  };
  return Object.assign(make, { plain: !compiled });
}

/* Numbers of 16 bits, as the weights are kept, in 32. */
function halves(packed) {
  const table = Float32Array.from({ length: 65536 }, (_, bits) => {
    const sign = bits & 0x8000 ? -1 : 1, exponent = bits >> 10 & 31, part = bits & 1023;
    return sign * (exponent ? (1 + part / 1024) * 2 ** (exponent - 15) : part * 2 ** -24);
  });
  const numbers = new Float32Array(packed.length); // by hand: Float32Array.from keeps a list of all of them on the way
  for (let n = 0; n < numbers.length; n++) numbers[n] = table[packed[n]];
  return numbers;
}

if (typeof module !== "undefined") { // in node; in the browser all files of the engine are one
  module.exports = { Network, kernelMaker, halves };
  Object.assign(globalThis, { Network, pair, limitsOf, shapeOf, marginsOf });
  require("./operations.js");
}
