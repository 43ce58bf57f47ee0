// An image grows: a slider over the steps, its value as a curve.
interpLive.define("scrub", (stage, data) => {
  const { el, svg, range, tile, result } = interpLive;
  const { values, steps, label } = data, last = values.length - 1;
  const low = Math.min(...values), span = Math.max(...values) - low || 1;
  const x = (n) => 8 + (284 * n) / Math.max(1, last), y = (n) => 150 - (136 * (values[n] - low)) / span;
  const dot = svg("circle", { r: 5, class: "dot" });
  const curve = svg("svg", { viewBox: "0 0 300 160", class: "curve", "aria-hidden": "true" },
    svg("polyline", { points: values.map((_, n) => `${x(n)},${y(n)}`).join(" "), class: "line" }), dot);
  const picture = tile(data.sheet, last, ""), text = result();
  const say = (n) => `Step ${steps[n]}: ${label} ${values[n].toPrecision(3)}`;
  const show = (n) => {
    picture.show(n, `${data.alt}, at step ${steps[n]}`);
    dot.setAttribute("cx", x(n)); dot.setAttribute("cy", y(n));
    text.textContent = say(n);
  };
  const slider = range("Step of the optimization", last, last, say, show);
  const bar = el("div", { className: "controls" }, slider);
  if (!matchMedia("(prefers-reduced-motion: reduce)").matches) {
    let timer = 0;
    const play = el("button", { type: "button", textContent: "Play" });
    const stop = () => { clearInterval(timer); timer = 0; play.textContent = "Play"; };
    play.addEventListener("click", () => {
      if (timer) return stop();
      let n = +slider.value >= last ? 0 : +slider.value;
      play.textContent = "Pause";
      timer = setInterval(() => { slider.value = n; show(n); if (++n > last) stop(); }, 160);
    });
    slider.addEventListener("pointerdown", stop);
    slider.addEventListener("keydown", stop);
    bar.prepend(play);
    // It plays once by itself, when most of it is seen.
    new IntersectionObserver(([entry], seen) => {
      if (entry.isIntersecting) { seen.disconnect(); if (!timer && +slider.value === last) play.click(); }
    }, { threshold: .7 }).observe(stage);
  }
  const ends = el("span", { className: "ends", "aria-hidden": "true" }, ...[0, last].map((n) => el("span", { textContent: `step ${steps[n]}: ${values[n].toPrecision(3)}` })));
  stage.replaceChildren(el("div", { className: "pair" }, picture, el("div", {}, curve, ends, text)), bar);
  show(last);
});
