// What the page asks of the network. It runs in a worker, or on the page itself where there are no workers: `scope` is
// whoever sends {id, job, ...} and gets {id, result} or {id, error} back, and {id, progress} on the way.
"use strict";

function serve(scope) {
  let network = null, image = null, shown = false, off = [], halted = false, last = "", places = 0; // last: "" without exact maps

  /* The values of the image, with the channels that are switched off at 0. */
  const run = () => {
    if (!shown) { network.show(image); network.forward(last || "input"); shown = true; }
    finish();
  };
  const finish = () => {
    for (const channel of off) network.plane(last, channel).fill(0);
    network.forward("logits", last || "input");
  };
  const logits = () => network.plan.classes.map((_, index) => network.plane("logits", index)[0]);
  const maps = () => {
    if (!last) return null;
    const all = new Float32Array(network.plan.classes.length * places);
    network.plan.classes.forEach((_, index) => all.set(network.plane("maps", index).map(value => value - bias(index)), index * places));
    return all;
  };
  const step = () => network.steps.find(one => one.name === "maps");
  const weight = (target, channel) => network.numbers[network.at(step().weights + target * network.tensor(last).channels + channel)];
  const bias = target => network.numbers[network.at(step().bias + target)];
  const strongest = (values, count) => [...values.keys()].sort((a, b) => values[b] - values[a]).slice(0, count);
  /* What is switched off stays at 0, so nothing goes back through it either. */
  const backward = (target, until = "input") => {
    const seed = ({ gradient, size }) => { network.numbers[gradient + target * size] = 1; };
    if (!off.length || until === last) { network.backward("logits", seed, until); return; }
    network.backward("logits", seed, last);
    for (const channel of off) network.plane(last, channel, "gradient").fill(0);
    const { gradient, count } = network.tensor(last), held = network.numbers.slice(gradient, gradient + count);
    network.backward(last, () => network.numbers.set(held, gradient), until);
  };
  const slopes = target => {
    backward(target);
    const planes = network.plan.mean.map((_, channel) => network.plane("input", channel, "gradient"));
    return planes[0].map((_, n) => Math.max(...planes.map(plane => Math.abs(plane[n]))));
  };

  /* Shuffle the weights of the last block, those of each layer among themselves; return what they were. */
  const forget = seed => {
    const block = network.plan.grown.at(-1) ?? last, { uniform } = randomNumbers(seed);
    const inside = network.steps.filter(one => one.weights !== undefined && (one.name === block || one.name.startsWith(`${block}.`)));
    return inside.map(one => {
      const at = network.at(one.weights), values = network.numbers.slice(at, network.at(one.bias)), mixed = values.slice();
      for (let n = mixed.length - 1; n > 0; n--) { const m = Math.floor(uniform() * (n + 1)); [mixed[n], mixed[m]] = [mixed[m], mixed[n]]; }
      network.numbers.set(mixed, at);
      return { at, values };
    });
  };
  /* What stands in for the network's own images has their size. */
  const fitting = pixels => {
    const side = Math.sqrt(pixels.length / network.plan.mean.length);
    if (side !== network.plan.side) throw new Error(`This page is made for images of ${network.plan.side} pixels a side, and this one has ${side}.`);
    return pixels;
  };
  const outcome = () => { run(); return { logits: logits(), maps: maps() }; };

  const jobs = {
    load({ plan, kernels, weights, plain }) {
      const make = plain ? kernelMaker(null) : kernelMaker(kernels);
      network = new Network(plan, halves(new Uint16Array(weights)), make);
      last = plan.last;
      places = plan.across ** 2;
      return { megabytes: network.numbers.byteLength / 1e6, fast: !(make.plain) };
    },

    /* Another image, all channels on. */
    look({ pixels }) {
      image = fitting(pixels); shown = false; off = [];
      return outcome();
    },

    /* The image again, without some channels of the last layer. */
    without({ channels }) {
      off = channels; shown = false;
      return outcome();
    },

    /* The logits of other pixels; the image stays the one that is looked at. */
    score({ pixels }) {
      network.show(fitting(pixels)); network.forward(last || "input"); shown = false;
      finish();
      return { logits: logits() };
    },

    /* What every channel adds to the logit of a class at a place: weight x activation, whose sum is the map there. */
    parts({ target, place, count }) {
      run();
      const { channels } = network.tensor(last);
      const shares = Float64Array.from({ length: channels }, (_, channel) => weight(target, channel) * network.plane(last, channel)[place]);
      const best = strongest(shares, count).map(channel => ({ channel, share: shares[channel] }));
      return { best, sum: shares.reduce((sum, value) => sum + value, 0), against: shares.filter(value => value < 0).reduce((sum, value) => sum + value, 0) };
    },

    /* The channels of an earlier layer in the same part of the image: gradient x activation, a first approximation. */
    units({ target, layer, place, count }) {
      run();
      backward(target, layer);
      const { channels, side } = network.tensor(layer), across = Math.sqrt(places), each = side / across;
      const inside = Array.from({ length: side ** 2 }, (_, n) => n)
        .filter(n => Math.floor(n / side / each) === Math.floor(place / across) && Math.floor(n % side / each) === place % across);
      const shares = Float64Array.from({ length: channels }, (_, channel) => {
        const value = network.plane(layer, channel), slope = network.plane(layer, channel, "gradient");
        return inside.reduce((sum, n) => sum + value[n] * slope[n], 0);
      });
      return { best: strongest(shares, count).map(channel => ({ channel, share: shares[channel] })) };
    },

    /* The largest slope of a class's logit among the colors of each pixel. */
    saliency({ target }) { run(); return { map: slopes(target) }; },

    /* The map and the slopes for other pixels, and with a seed for a network whose last block has forgotten what it learned. */
    views({ pixels, target, seed = null }) {
      const kept = seed === null ? [] : forget(seed);
      try {
        network.show(fitting(pixels ?? image)); network.forward(last);
        finish();
        const map = network.plane("maps", target).map(value => value - bias(target));
        return { map, saliency: slopes(target), logit: network.plane("logits", target)[0] };
      } finally {
        for (const { at, values } of kept) network.numbers.set(values, at);
        shown = false;
      }
    },

    /* A layer's answer at each place: how large it is over all channels, and its sum of gradient x activation for a class. */
    depth({ layer, target }) {
      run();
      backward(target, layer);
      const { channels, side } = network.tensor(layer), size = new Float64Array(side ** 2), evidence = new Float64Array(side ** 2);
      for (let channel = 0; channel < channels; channel++) {
        const slope = network.plane(layer, channel, "gradient");
        network.plane(layer, channel).forEach((value, n) => { size[n] += value * value / channels; evidence[n] += value * slope[n]; });
      }
      return { side, channels, size: size.map(Math.sqrt), evidence };
    },

    /* A picture that makes a channel large, step by step, and others beside it; between steps a message to halt gets through. */
    async grow({ id, also = [], ...wanted }) {
      halted = shown = false;
      const ascents = [{}, ...also].map(one => new Ascent(network, { ...wanted, ...one }));
      while (ascents[0].done < wanted.steps && !halted) {
        ascents.forEach((ascent, which) => {
          const score = ascent.step(), show = ascent.done % 3 === 0;
          scope.postMessage({ id, progress: { which, done: ascent.done, score, pixels: show ? ascent.picture().pixels : null } });
        });
        await new Promise(done => setTimeout(done));
      }
      const [first, ...others] = ascents.map(ascent => { const { pixels } = ascent.picture(); return { pixels, score: ascent.score(pixels), done: ascent.done }; });
      return { ...first, also: others };
    },
    halt() { halted = true; },
  };

  scope.onmessage = async ({ data }) => {
    try {
      scope.postMessage({ id: data.id, result: await jobs[data.job](data) });
    } catch (error) {
      scope.postMessage({ id: data.id, error: error.message });
    }
  };
}

if (typeof module !== "undefined") module.exports = { serve };
