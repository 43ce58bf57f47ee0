// Times of the lab's engine and of onnxruntime-web in this browser, one thread: `times` resolves to them, each [least, median, most]
// in milliseconds.
"use strict";

const RUNS = 7;

const summary = values => { const sorted = [...values].sort((a, b) => a - b); return [sorted[0], sorted[sorted.length >> 1], sorted.at(-1)]; };

async function timed(work) {
  await work();
  const spans = [];
  for (let n = 0; n < RUNS; n++) {
    const began = performance.now();
    await work();
    spans.push(performance.now() - began);
  }
  return summary(spans);
}

const bytes = async name => new Uint8Array(await (await fetch(name)).arrayBuffer());

async function ofEngine(plan, weights, kernels) {
  const network = new Network(plan, weights, kernelMaker(kernels)), { uniform } = randomNumbers(0);
  const pixels = Float32Array.from({ length: 3 * plan.side ** 2 }, uniform);
  const found = {
    forward: await timed(() => { network.show(pixels); network.forward(); }),
    backward: await timed(() => network.backward("logits", ({ gradient }) => { network.numbers[gradient] = 1; })),
    first: network.plane("logits", 0)[0],
    pixels,
  };
  const ascent = new Ascent(network, { layer: "blocks.3.2", channel: 44, steps: 1 });
  found.step = await timed(() => ascent.step());
  return found;
}

async function ofPeer(pixels, side) {
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = "./";
  const session = await ort.InferenceSession.create("net.onnx", { executionProviders: ["wasm"] });
  const feeds = { images: new ort.Tensor("float32", pixels, [1, 3, side, side]) };
  let said;
  const forward = await timed(async () => { said = await session.run(feeds); });
  return { forward, first: said.logits.data[0] };
}

const times = (async () => {
  const plan = await (await fetch("plan.json")).json(), weights = halves(new Uint16Array((await bytes("weights.f16")).buffer));
  const engine = await ofEngine(plan, weights, await bytes("kernels.wasm")), plain = await ofEngine(plan, weights, null);
  const peer = await ofPeer(engine.pixels, plan.side), again = await ofEngine(plan, weights, await bytes("kernels.wasm"));
  for (const one of [engine, plain, again]) delete one.pixels;
  return { engine, "engine, again": again, "engine in JavaScript": plain, "onnxruntime-web": peer };
})();
