// What the search shows of a page: its sentences, and not byline, contents, code, or a formula twice.
(() => {
  const whole = Search.htmlToText;
  Search.htmlToText = (html, anchor) => {
    const page = new DOMParser().parseFromString(html, "text/html");
    page.querySelectorAll(".byline, .here, .highlight, .katex-html, .katex annotation, .appendix, .live").forEach((node) => node.remove());
    return whole(page.documentElement.outerHTML, anchor);
  };
  // The microscope has an index of its own: of channels, and of what their images show.
  const words = new URLSearchParams(location.search).get("q"), link = document.querySelector(".channels a");
  if (!words || !link) return;
  link.href += `#?${encodeURIComponent(words)}`;
  link.textContent = `${words} in the microscope`;
  link.parentElement.hidden = false;
})();
