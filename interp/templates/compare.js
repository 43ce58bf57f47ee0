// Two pictures on one place, with a border to drag.
interpLive.define("compare", (stage, data) => {
  const { el, range } = interpLive;
  const picture = (number) => el("img", { src: data.pictures[number], alt: data.alts[number], width: data.width, height: data.height });
  const over = picture(1), line = el("span", { className: "border" });
  const show = (at) => { over.style.clipPath = `inset(0 0 0 ${at}%)`; line.style.left = `${at}%`;
    [at > 14, at < 86].forEach((room, number) => { tags[number].style.opacity = room ? 1 : 0; }); };
  const tags = data.labels.map((text, number) => el("span", { className: `tag tag-${number}`, textContent: text }));
  const slider = range(`From ${data.labels[0]} to ${data.labels[1]}`, 100, 50,
    (at) => `${at} % ${data.labels[0]}, ${100 - at} % ${data.labels[1]}`, show);
  const frame = el("div", { className: "frame" }, picture(0), over, line, ...tags, slider);
  frame.style.maxWidth = `${data.shown}px`;
  stage.replaceChildren(frame);
  show(50);
});
