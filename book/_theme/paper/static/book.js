// What every page can do beyond plain HTML: choose the theme, close the menu, copy code, enlarge a picture, peek at a
// reference. Without this script all of the text, code and pictures are still there.
(() => {
  const $ = (selector, root = document) => [...root.querySelectorAll(selector)];
  const make = (tag, props = {}) => Object.assign(document.createElement(tag), props);

  // ---- theme: auto, light, dark ----
  const root = document.documentElement, modes = ["auto", "light", "dark"], theme = document.querySelector(".theme");
  const setTheme = (mode) => {
    if (mode === "auto") delete root.dataset.theme; else root.dataset.theme = mode;
    theme.replaceChildren(make("span", { textContent: `Colors: ${mode}` }));
    theme.setAttribute("aria-label", `Colors: ${mode}. Press to change.`);
  };
  theme.hidden = false;
  setTheme(root.dataset.theme || "auto");
  theme.addEventListener("click", () => {
    const mode = modes[(modes.indexOf(root.dataset.theme || "auto") + 1) % 3];
    try { localStorage.setItem("theme", mode === "auto" ? "" : mode); } catch { /* the choice holds for this page */ }
    setTheme(mode);
  });

  // ---- menu: Escape or a click elsewhere closes it ----
  const menu = document.querySelector(".menu");
  document.addEventListener("click", (event) => { if (!menu.contains(event.target)) menu.open = false; });
  menu.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { menu.open = false; menu.querySelector("summary").focus(); }
  });

  // ---- what scrolls sideways can be reached by keyboard ----
  const sideways = $("pre, div.math, .table-wrap, .pan-view");
  const more = (node) => node.classList.toggle("more", node.scrollLeft + node.clientWidth < node.scrollWidth - 8);
  const reach = () => sideways.forEach((node) => {
    const over = node.scrollWidth > node.clientWidth;
    more(node);
    if (over) node.tabIndex = 0; else node.removeAttribute("tabindex");
    if (!node.matches(".pan-view")) return;
    node.role = over ? "region" : null;
    node.ariaLabel = over ? `Scrolls sideways: ${node.querySelector("img").alt}` : null;
  });
  reach();
  for (const node of sideways) node.addEventListener("scroll", () => more(node), { passive: true });
  addEventListener("resize", reach);

  // ---- on a phone a tap on the arrow shows what is further right ----
  for (const view of $(".pan-view")) {
    const button = make("button", { type: "button", className: "further", textContent: "\u2192", ariaHidden: "true", tabIndex: -1 });
    button.addEventListener("click", () => view.scrollBy({ left: view.clientWidth * .8, behavior: "smooth" }));
    view.after(button);
  }

  // ---- the contents beside the text say where one is ----
  const links = $(".here ul ul > li > a[href^='#']"), heads = links.map((link) => document.getElementById(decodeURIComponent(link.hash.slice(1))));
  const mark = () => {
    const now = heads.findLastIndex((head) => head && head.getBoundingClientRect().top < 140);
    links.forEach((link, n) => { if (n === now) link.setAttribute("aria-current", "location"); else link.removeAttribute("aria-current"); });
  };
  if (links.length) { mark(); addEventListener("scroll", () => requestAnimationFrame(mark), { passive: true }); }

  // ---- copy: code, not what it gives ----
  for (const block of $("div.highlight")) {
    if (block.closest(".output")) continue;
    const button = make("button", { type: "button", className: "copy", textContent: "Copy" });
    button.addEventListener("click", async () => {
      const lines = $(".gp", block).length ? block.querySelector("pre").textContent.replace(/^(>>>|\.\.\.) ?/gm, "")
        : block.querySelector("pre").textContent;
      try { await navigator.clipboard.writeText(lines); button.textContent = "Copied"; } catch { button.textContent = "Not allowed"; }
      button.classList.add("done");
      setTimeout(() => { button.textContent = "Copy"; button.classList.remove("done"); }, 1600);
    });
    block.append(button);
  }

  // ---- sort a table by a column: first ascending, then descending; cells without a key go last ----
  for (const table of $("table.sortable")) for (const head of $("thead th", table)) {
    const button = make("button", { type: "button", textContent: head.textContent }), body = table.tBodies[0];
    const key = (row) => { const cell = row.cells[head.cellIndex]; return cell.dataset.key ? +cell.dataset.key : cell.textContent; };
    button.addEventListener("click", () => {
      const sign = head.ariaSort === "ascending" ? -1 : 1;
      for (const other of $("thead th", table)) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      body.append(...[...body.rows].sort((a, b) => {
        const [x, y] = [key(a), key(b)];
        return typeof x === typeof y ? sign * (typeof x === "number" ? x - y : x.localeCompare(y)) : typeof x === "number" ? -1 : 1;
      }));
    });
    head.replaceChildren(button);
  }

  // ---- enlarge a picture ----
  const zoom = (picture, link) => {
    const dialog = make("dialog", { className: "zoom" });
    dialog.setAttribute("aria-label", picture.alt || "Picture");
    const large = make("img", { src: picture.src, alt: picture.alt, className: picture.className }); // the wide drawing, also where a narrow one is on the page
    // As large as the screen allows; on a phone at least as large as on a page, to be moved around with a finger.
    const made = +picture.getAttribute("width") || picture.naturalWidth, tall = +picture.getAttribute("height") || picture.naturalHeight;
    const fit = Math.min(innerWidth * .96, (innerHeight * .8 * made) / tall);
    large.style.width = `${fit < made * .7 ? made : fit}px`;
    const caption = picture.closest("figure")?.querySelector("figcaption p");
    const close = make("button", { type: "button", textContent: "Close" });
    dialog.append(close, large);
    if (caption) { const text = caption.cloneNode(true); $(".headerlink", text).forEach((link) => link.remove()); dialog.append(text); }
    dialog.addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => { dialog.remove(); link.focus(); });
    document.body.append(dialog);
    dialog.showModal();
  };
  // Each picture links to its file, which is what remains without this script.
  for (const link of $("a.image-reference")) {
    link.addEventListener("click", (event) => { event.preventDefault(); zoom(link.querySelector("img"), link); });
    if (!link.closest(".doors")) continue;
    const button = make("button", { type: "button", className: "enlarge", textContent: "Enlarge", tabIndex: -1, ariaHidden: "true" });
    button.addEventListener("click", () => link.click());
    (link.closest(".pan") ?? link.parentElement).append(button); // its tiles lead elsewhere
  }

  // ---- peek: what a citation, a footnote or a figure number points to ----
  let box = null, later = 0, coming = 0, tapped = null;
  const hide = () => { box?.link.removeAttribute("aria-describedby"); box?.remove(); box = null; };
  const hideSoon = () => { clearTimeout(later); later = setTimeout(hide, 400); };
  // A channel's card: what was optimized for it, down and up, and the three scenes that drive it most.
  const card = (url) => {
    const [, layer, channel] = /^#([^/?]+)\/(\d+)$/.exec(url.hash) || [], at = url.href.replace(/index\.html#.*/, "");
    if (!layer || !/\/microscope\/index\.html$/.test(url.pathname)) return null;
    return ({ top: scenes, drawn = "minus plus" }) => {
      const picture = (src) => make("img", { src: at + src, alt: "", width: 112, height: 112 }), found = make("div", { className: drawn ? "card" : "card scenes" });
      found.append(make("b", { textContent: `${decodeURIComponent(layer)}, channel ${channel}` }), ...drawn.split(" ").filter(Boolean).map((sign) => picture(`optimized/${layer}-${sign}/${channel}.webp`)),
        ...(scenes || "").split(" ").filter(Boolean).map((n) => picture(`thumbnails/${String(n / 1000 | 0).padStart(3, 0)}/${String(n % 1000).padStart(3, 0)}.webp`)),
        make("small", { textContent: [drawn && "made to drive it down and up", scenes && "the scenes that drive it most"].filter(Boolean).join("; ").replace(/^./, (first) => first.toUpperCase()) }));
      return found;
    };
  };
  const target = (link, drawing) => {
    const url = new URL(link.href.baseVal ?? link.href, location), unit = card(url); // a link in a drawing has an object
    if (unit) return drawing ? unit(link.dataset) : link;
    if (url.pathname !== location.pathname || url.hash.length < 2) return null;
    const found = document.getElementById(decodeURIComponent(url.hash.slice(1)));
    return found?.matches("figure, aside.footnote, .cited, .math, .admonition") ? found
      : found?.querySelector(":scope > figure, :scope > .math") || null;
  };
  const show = (link) => {
    clearTimeout(later);
    const found = target(link, true);
    if (!found || box?.link === link) return;
    hide();
    box = make("div", { className: "peek", id: "peek", link });
    box.setAttribute("role", "note");
    const copy = found.cloneNode(true), drawn = $("canvas", found);
    $("canvas", copy).forEach((canvas, n) => { if (drawn[n].width && drawn[n].height) canvas.getContext("2d").drawImage(drawn[n], 0, 0); }); // a copy is empty
    $("[id]", copy).concat(copy).forEach((node) => node.removeAttribute("id"));
    $("script, button, input, .copy, .controls", copy).forEach((node) => node.remove());
    $("[tabindex]", copy).forEach((node) => node.removeAttribute("tabindex"));
    $(".image-reference", copy).forEach((node) => node.replaceWith(...node.childNodes));
    $("img", copy).forEach((node) => { node.loading = "eager"; });
    box.append(...(copy.matches("figure, .math, .card") ? [copy] : copy.childNodes));
    document.body.append(box);
    const at = link.getBoundingClientRect(), text = document.querySelector("article").getBoundingClientRect();
    const left = Math.max(16, Math.min(copy.matches(".card") ? at.left : text.left, innerWidth - box.offsetWidth - 16));
    const above = at.bottom + box.offsetHeight + 12 > innerHeight && at.top > box.offsetHeight + 60;
    box.style.left = `${left + scrollX}px`;
    box.style.top = `${scrollY + (above ? at.top - box.offsetHeight - 8 : at.bottom + 8)}px`;
    box.addEventListener("pointerenter", () => clearTimeout(later));
    box.addEventListener("pointerleave", hideSoon);
    link.setAttribute("aria-describedby", "peek");
  };
  for (const link of $("article a[href*='#']:not(.headerlink)")) {
    if (link.closest(".here, .backrefs, .backlink") || !target(link)) continue;
    const quick = !link.matches(".tile-door"); // over a sheet of tiles a card comes only where the pointer rests
    link.addEventListener("pointerenter", (event) => { if (event.pointerType === "mouse") { clearTimeout(coming); coming = setTimeout(() => show(link), quick ? 0 : 150); } });
    link.addEventListener("pointerleave", () => { clearTimeout(coming); hideSoon(); });
    // The finger began to scroll, or the screen took it over: no tap comes of it.
    link.addEventListener("pointercancel", () => { clearTimeout(coming); tapped = null; hide(); });
    link.addEventListener("focus", () => show(link));
    // A finger cannot hover: its first tap shows what the second one goes to.
    link.addEventListener("click", (event) => { if (event.pointerType === "touch" && tapped !== link) { event.preventDefault(); show(tapped = link); } });
    link.addEventListener("blur", hideSoon);
  }
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
  document.addEventListener("pointerdown", (event) => { if (box && !event.target.closest(".peek") && event.target.closest("a") !== box.link) { tapped = null; hide(); } });
})();
