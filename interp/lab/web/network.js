// A network that runs forward, and backward to its pixels: a plan (what is computed from what), weights, and five kernels.
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

  /* Give every value and gradient its place for images of this side; behind them one frame for padded planes. */
  arrange(side, weights = this.numbers.subarray(Network.START, Network.START + this.count)) {
    let end = Network.START + this.count, frame = 0;
    const place = count => { const at = Math.ceil(end / 8) * 8; end = at + count; return at; };
    const tensor = (channels, side) => {
      const size = Math.ceil(side * side / 8) * 8; // a plane with its room
      return { channels, side, size, count: channels * size, value: place(channels * size) };
    };
    this.tensors = [tensor(this.plan.mean.length, side)];
    for (const step of this.steps) {
      const from = this.tensors[this.index.get(step.from)];
      this.tensors.push(tensor(step.channels, step.op === "mean" ? 1 : Math.ceil(from.side / (step.stride ?? 1))));
      frame = Math.max(frame, (from.side + 2 * (step.kernel ?? 0)) ** 2);
    }
    for (const one of this.tensors) one.gradient = place(one.count);
    this.frame = place(frame + 64); // eight pixels at a time read a little further than the last
    this.side = side;
    if (this.numbers?.length >= end) return;
    Object.assign(this, this.make(end));
    this.numbers.set(weights, Network.START);
  }

  tensor(name) { return this.tensors[this.index.get(name)]; }

  /* One channel of a value, or of its gradient: numbers that may be read and written. */
  plane(name, channel, what = "value") {
    const one = this.tensor(name), at = one[what] + channel * one.size;
    return this.numbers.subarray(at, at + one.side ** 2);
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
      const step = this.steps[n], limits = step.relu6 ? [0, 6] : [-Infinity, Infinity];
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
      if (step.relu6) this.kernels.gate(to.gradient, to.value, to.count);
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

  /* A convolution whose every output is a sum over all channels: one input after the other is filtered and added. */
  conv(step, from, to, limits) {
    for (let channel = 0; channel < from.channels; channel++) {
      const now = channel === from.channels - 1 ? limits : [-Infinity, Infinity];
      this.pad(step, from, to, channel);
      for (let out = 0; out < to.channels; out++)
        this.filter(step, to, out, out * from.channels + channel, channel ? null : step.bias + out, now);
    }
  }
  convBack(step, from, to) {
    for (let out = 0; out < to.channels; out++) {
      this.spread(step, from, to, out);
      for (let channel = 0; channel < from.channels; channel++) this.filterBack(step, from, channel, out * from.channels + channel);
    }
  }

  /* Lay a channel into a frame of zeros as TensorFlow pads it: an odd number leaves one more at the right and below. */
  pad({ kernel, stride }, from, to, channel) {
    this.wide = Math.max((to.side - 1) * stride + kernel, from.side);
    this.before = Math.floor((this.wide - from.side) / 2);
    this.kernels.lay(from.value + channel * from.size, from.side, from.side, this.frame, this.wide, this.wide, this.before, 1);
  }
  filter({ weights, kernel, stride }, to, out, which, bias, limits) {
    this.kernels.filter(this.frame, this.wide, this.at(weights + which * kernel ** 2), 1, kernel, stride,
      bias === null ? 0 : this.at(bias), to.value + out * to.size, to.side, to.side, ...limits);
  }

  /* The way back: the gradient spread out where the way there had a stride, filtered with the kernel turned around. */
  spread({ kernel, stride }, from, to, out) {
    const before = Math.floor(Math.max((to.side - 1) * stride + kernel - from.side, 0) / 2);
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
      this.numbers[to.value + channel * to.size] = this.plane(step.from, channel).reduce((sum, value) => sum + value, 0) / from.side ** 2;
  }
  meanBack(step, from, to) {
    for (let channel = 0; channel < to.channels; channel++) {
      const share = this.numbers[to.gradient + channel * to.size] / from.side ** 2;
      this.plane(step.from, channel, "gradient").forEach((value, place, plane) => { plane[place] = value + share; });
    }
  }

  at(place) { return Network.START + place; }
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
  return Float32Array.from(packed, bits => table[bits]);
}

if (typeof module !== "undefined") module.exports = { Network, kernelMaker, halves };
