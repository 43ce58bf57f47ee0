// One photograph through the layers of a network.
interpLive.define("depth", (stage, data) => {
  const { el, range, result } = interpLive;
  const photo = el("img", { src: data.photograph, alt: data.alt, className: "half" });
  const maps = el("img", { className: "half pixels" }), text = result();
  const say = (n) => `${data.layers[n].name}: ${data.layers[n].text}`;
  const stops = el("span", { className: "stops", "aria-hidden": "true" }, ...data.layers.map((layer) => el("span", { textContent: layer.name })));
  const show = (n) => {
    maps.src = data.layers[n].picture;
    maps.alt = `Feature maps of ${say(n)}`;
    text.textContent = say(n);
    [...stops.children].forEach((stop, k) => stop.classList.toggle("on", k === n));
  };
  const slider = range("Layer", data.layers.length - 1, 0, say, show);
  show(0);
  stage.replaceChildren(el("div", { className: "pair" }, photo, maps), el("div", { className: "controls" }, slider), stops, text);
  for (const layer of data.layers) new Image().src = layer.picture;
});
