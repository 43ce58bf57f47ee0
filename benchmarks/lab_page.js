// Times of the lab's engine and of onnxruntime-web in this browser, one thread, in milliseconds: `times` resolves to them.
"use strict";

const median = values => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

async function timed(work, times) {
  await work();
  const spans = [];
  for (let n = 0; n < times; n++) {
    const began = performance.now();
    await work();
    spans.push(performance.now() - began);
  }
  return median(spans);
}

const bytes = async name => new Uint8Array(await (await fetch(name)).arrayBuffer());

async function ofEngine(plan, weights, kernels, times) {
  const network = new Network(plan, weights, kernelMaker(kernels)), { uniform } = randomNumbers(0);
  const pixels = Float32Array.from({ length: 3 * plan.side ** 2 }, uniform);
  const found = {
    forward: await timed(() => { network.show(pixels); network.forward(); }, times),
    backward: await timed(() => network.backward("logits", ({ gradient }) => { network.numbers[gradient] = 1; }), times),
    first: network.plane("logits", 0)[0],
    pixels,
  };
  const ascent = new Ascent(network, { layer: "blocks.3.2", channel: 44, steps: 1 });
  found.step = await timed(() => ascent.step(), times);
  return found;
}

async function ofPeer(pixels, side, times) {
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = "./";
  const session = await ort.InferenceSession.create("net.onnx", { executionProviders: ["wasm"] });
  const feeds = { images: new ort.Tensor("float32", pixels, [1, 3, side, side]) };
  let said;
  const forward = await timed(async () => { said = await session.run(feeds); }, times);
  return { forward, first: said.logits.data[0] };
}

const times = (async () => {
  const plan = await (await fetch("plan.json")).json(), weights = halves(new Uint16Array((await bytes("weights.f16")).buffer));
  const engine = await ofEngine(plan, weights, await bytes("kernels.wasm"), 20), plain = await ofEngine(plan, weights, null, 3);
  const peer = await ofPeer(engine.pixels, plan.side, 20), again = await ofEngine(plan, weights, await bytes("kernels.wasm"), 20);
  for (const one of [engine, plain, again]) delete one.pixels;
  return { engine, "engine, again": again, "engine in JavaScript": plain, "onnxruntime-web": peer };
})();
